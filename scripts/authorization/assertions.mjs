// What scripts/bench/oauth --assertions posts: COUNT of each kind of assertion, signed with ES256, and the key they are
// checked with. Serves as a client's `jwks_uri` and as an identity provider; prints its address once the files are there.
//
// assertions.mjs DIRECTORY TOKEN_ENDPOINT_ORIGIN COUNT
import { createHash, generateKeyPairSync, randomUUID, sign } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { once } from 'node:events';
import { createServer } from 'node:http';

const [directory, us, count] = process.argv.slice(2);
const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const jwk = { ...publicKey.export({ format: 'jwk' }), use: 'sig', alg: 'ES256' };
jwk.kid = createHash('sha256').update(JSON.stringify(jwk)).digest('base64url');

const encoded = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
function signed(typ, claims) {
  const now = Math.floor(Date.now() / 1000);
  const body = `${encoded({ typ, alg: 'ES256', kid: jwk.kid })}.${encoded({ ...claims, iat: now, exp: now + 300, jti: randomUUID() })}`;
  return `${body}.${sign('sha256', Buffer.from(body), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
}

async function write(name, body) {
  const file = createWriteStream(`${directory}/${name}.bodies`);
  for (let number = 0; number < Number(count); number += 1) {
    if (!file.write(`${body()}\n`)) await once(file, 'drain');
  }
  file.end();
  await once(file, 'close');
}

const server = createServer((request, response) => {
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify(request.url === '/keys' ? { keys: [jwk] } : { issuer, jwks_uri: `${issuer}/keys` }));
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const issuer = `http://127.0.0.1:${server.address().port}`;

const assertion = 'client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=';
await write('private_key_jwt', () => {
  const by = signed('JWT', { iss: 'signer', sub: 'signer', aud: us });
  return `grant_type=client_credentials&scope=graph%3Aread&${assertion}${by}`;
});
await write('id_jag', () => {
  const of = signed('oauth-id-jag+jwt', {
    iss: issuer, sub: 'ada', aud: us, client_id: 'agent', resource: `${us}/mcp`, scope: 'graph:read',
  });
  return `grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=${of}`;
});
console.log(issuer);
