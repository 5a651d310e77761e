// A stand-in issuer for the benchmark: one RS256 key of 2,048 bits, its JWKS over HTTP, three tokens.
//
//   node issuer.mjs <folder> <audience> <scope> [count]
//
// writes key.pem (public), token, token.forged (another key, same kid) and token.unscoped into the
// folder, and with a count that many different tokens, one a line, into `tokens`; then prints `issuer http://127.0.0.1:<port>` and serves /jwks.json there until it is ended.
import { createServer } from 'node:http';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SignJWT, exportJWK, exportSPKI, generateKeyPair } from 'jose';

const [folder, audience, scope, count] = process.argv.slice(2);
const rsa = () => generateKeyPair('RS256', { modulusLength: 2048, extractable: true });
const [own, foreign] = [await rsa(), await rsa()];
const jwk = { ...(await exportJWK(own.publicKey)), kid: 'bench', alg: 'RS256', use: 'sig' };
const jwks = JSON.stringify({ keys: [jwk] });

const server = createServer((_, reply) => reply.writeHead(200, { 'content-type': 'application/json' }).end(jwks));
await new Promise((done) => server.listen(0, '127.0.0.1', done));
const issuer = `http://127.0.0.1:${server.address().port}`;

const token = (key, granted) =>
  new SignJWT({ scope: granted, client_id: 'bench' })
    .setProtectedHeader({ alg: 'RS256', typ: 'at+jwt', kid: 'bench' })
    .setIssuer(issuer).setAudience(audience).setSubject('bench').setJti(crypto.randomUUID())
    .setIssuedAt().setExpirationTime('6h').sign(key);

const write = (name, text) => writeFileSync(join(folder, name), text, { mode: 0o600 });
write('key.pem', await exportSPKI(own.publicKey));
write('token', await token(own.privateKey, scope));
write('token.forged', await token(foreign.privateKey, scope));
write('token.unscoped', await token(own.privateKey, 'nothing:here'));
if (count) {
  const many = [];
  while (many.length < Number(count)) many.push(...(await Promise.all(Array.from({ length: 64 }, () => token(own.privateKey, scope)))));
  write('tokens', many.join('\n'));
}
console.log(`issuer ${issuer}`);
