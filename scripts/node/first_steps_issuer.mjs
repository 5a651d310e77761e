// Stands in for three foreign issuers in scripts/first-steps: one with a key set (RS256), one with opaque tokens and
// an introspection endpoint, and Entra (v2 tokens). Prints its address, then a line of JSON: for each a token, one that
// is expired, and one with more scopes.
import { createServer } from 'node:http';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';

const [audience, tenant, api] = process.argv.slice(2);
const NARROW = 'public:read', WIDE = 'public:read confidential:read';
const now = () => Math.floor(Date.now() / 1000);

async function signer(kid, typ) {
  const { publicKey, privateKey } = await generateKeyPair('RS256');
  const jwk = { ...(await exportJWK(publicKey)), kid, alg: 'RS256', use: 'sig' };
  const sign = (claims, ends) =>
    new SignJWT({ ...claims, iat: now() - 900, nbf: now() - 900, exp: now() + ends }).setProtectedHeader({ alg: 'RS256', kid, typ }).sign(privateKey);
  return { jwk, three: async (claims) => ({ good: await sign(claims(NARROW), 600), expired: await sign(claims(NARROW), -300), more: await sign(claims(WIDE), 600) }) };
}

const [own, entra] = [await signer('key-1', 'at+jwt'), await signer('entra-1', 'JWT')];
const opaque = { good: 'opaque-token-of-grace', expired: 'opaque-token-of-yesterday', more: 'opaque-token-of-grace-with-more' };
let issuer;

// RFC 7662: an expired token is not active, and nothing else is said of it.
function introspect(token) {
  const scope = { [opaque.good]: NARROW, [opaque.more]: WIDE }[token];
  const claims = { iss: `${issuer}/opaque`, sub: 'grace', aud: audience, scope, client_id: 'demo', token_type: 'Bearer', iat: now(), exp: now() + 600 };
  return scope ? { active: true, ...claims } : { active: false };
}

const server = createServer(async (request, response) => {
  let body = '';
  for await (const part of request) body += part;
  const answers = { '/jwks': () => ({ keys: [own.jwk] }), '/entra/keys': () => ({ keys: [entra.jwk] }), '/introspect': () => introspect(new URLSearchParams(body).get('token')) };
  const answer = answers[request.url]?.();
  response.writeHead(answer ? 200 : 404, { 'Content-Type': 'application/json' }).end(JSON.stringify(answer ?? {}));
});
server.listen(0, '127.0.0.1', async () => {
  issuer = `http://127.0.0.1:${server.address().port}`;
  const jwt = await own.three((scope) => ({ iss: `${issuer}/jwt`, sub: 'grace', aud: audience, jti: '1', scope, client_id: 'demo' }));
  // What Microsoft documents of a v2 access token for a person.
  const v2 = await entra.three((scp) => ({
    iss: `https://login.microsoftonline.com/${tenant}/v2.0`, aud: api, ver: '2.0', tid: tenant, oid: '9f0a1b2c-3d4e-4f60-8192-a3b4c5d6e7f8', sub: 'pairwise-of-grace',
    azp: 'b6c7d8e9-f0a1-4b2c-8d3e-4f5a6b7c8d9e', azpacr: '0', name: 'Grace Hopper', preferred_username: 'grace@contoso.example', scp,
  }));
  console.log(`${issuer}\n${JSON.stringify({ jwt, opaque, entra: v2 })}`);
});
