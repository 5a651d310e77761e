// Stands in for two foreign issuers in scripts/first-steps: one with a key set (RS256), one with
// opaque tokens and an introspection endpoint. Prints its address, then one RS256 token.
import { createServer } from 'node:http';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';

const [audience] = process.argv.slice(2);
const { publicKey, privateKey } = await generateKeyPair('RS256');
const key = { ...(await exportJWK(publicKey)), kid: 'key-1', alg: 'RS256', use: 'sig' };
let issuer;

const server = createServer(async (request, response) => {
  let body = '';
  for await (const part of request) body += part;
  const known = new URLSearchParams(body).get('token') === 'opaque-token-of-grace';
  const now = Math.floor(Date.now() / 1000);
  const answer = request.url === '/jwks' ? { keys: [key] } : known
    ? { active: true, iss: `${issuer}/opaque`, sub: 'grace', aud: audience, scope: 'public:read', client_id: 'demo', token_type: 'Bearer', iat: now, exp: now + 600 }
    : { active: false };
  response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(answer));
});
server.listen(0, '127.0.0.1', async () => {
  issuer = `http://127.0.0.1:${server.address().port}`;
  const token = await new SignJWT({ scope: 'public:read', client_id: 'demo' })
    .setProtectedHeader({ alg: 'RS256', kid: 'key-1', typ: 'at+jwt' })
    .setIssuer(`${issuer}/jwt`).setSubject('grace').setAudience(audience).setJti('1').setIssuedAt().setExpirationTime('10m').sign(privateKey);
  console.log(`${issuer}\nToken: ${token}`);
});
