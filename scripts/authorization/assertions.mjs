// What scripts/bench/oauth --assertions posts: COUNT of each kind of assertion, signed with ES256 and RS256, and the keys they
// are checked with. Serves as a client's `jwks_uri` and as an identity provider; prints its address once the files are there.
//
// assertions.mjs DIRECTORY TOKEN_ENDPOINT_ORIGIN COUNT
import { createHash, generateKeyPair, randomUUID, sign } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { promisify } from 'node:util';

const [directory, us, count] = process.argv.slice(2);
const algorithms = {
  ES256: ['ec', { namedCurve: 'P-256' }],
  RS256: ['rsa', { modulusLength: 2048 }],
};
const keys = {};
for (const [alg, [type, options]] of Object.entries(algorithms)) {
  const { privateKey, publicKey } = await promisify(generateKeyPair)(type, options);
  const jwk = { ...publicKey.export({ format: 'jwk' }), use: 'sig', alg };
  jwk.kid = createHash('sha256').update(JSON.stringify(jwk)).digest('base64url');
  keys[alg] = { privateKey, jwk };
}

const encoded = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
// On the threads that node has for it: RS256 takes most of a millisecond.
const signature = promisify(sign);
async function signed(typ, alg, claims) {
  const now = Math.floor(Date.now() / 1000);
  const { privateKey, jwk } = keys[alg];
  const body = `${encoded({ typ, alg, kid: jwk.kid })}.${encoded({ ...claims, iat: now, exp: now + 300, jti: randomUUID() })}`;
  return `${body}.${(await signature('sha256', Buffer.from(body), { key: privateKey, dsaEncoding: 'ieee-p1363' })).toString('base64url')}`;
}

async function write(name, body) {
  const file = createWriteStream(`${directory}/${name}.bodies`);
  for (let left = Number(count); left > 0; left -= 1000) {
    const bodies = await Promise.all(Array.from({ length: Math.min(left, 1000) }, body));
    if (!file.write(`${bodies.join('\n')}\n`)) await once(file, 'drain');
  }
  file.end();
  await once(file, 'close');
}

const server = createServer((request, response) => {
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify(request.url === '/keys' ? { keys: Object.values(keys).map(({ jwk }) => jwk) } : { issuer, jwks_uri: `${issuer}/keys` }));
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const issuer = `http://127.0.0.1:${server.address().port}`;

const assertion = 'client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=';
const itself = async (alg) => {
  const by = await signed('JWT', alg, { iss: 'signer', sub: 'signer', aud: us });
  return `grant_type=client_credentials&scope=graph%3Aread&${assertion}${by}`;
};
// The slowest first: each is good for five minutes.
await write('private_key_jwt_rs256', () => itself('RS256'));
await write('private_key_jwt', () => itself('ES256'));
await write('id_jag', async () => {
  const of = await signed('oauth-id-jag+jwt', 'ES256', {
    iss: issuer, sub: 'ada', aud: us, client_id: 'agent', resource: `${us}/mcp`, scope: 'graph:read',
  });
  return `grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=${of}`;
});
console.log(issuer);
