// A loopback proxy that adds `Authorization: Bearer <token>` to every request: the official suite
// cannot send a token itself. Header names and values go through as they came, `Host` included.
//
//   node inject.mjs <target origin>      token on stdin; prints `proxy http://127.0.0.1:<port>`
import { createServer, request } from 'node:http';
import { readFileSync } from 'node:fs';

const target = new URL(process.argv[2]);
const token = readFileSync(0, 'utf8').trim();

// `Host: 127.0.0.1:<proxy port>` would name the proxy; only that exact value is rewritten, so that a
// scenario which forges `Host` or `Origin` still reaches the server with its forgery.
function forward(raw, own) {
  const headers = [];
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i].toLowerCase();
    const value = raw[i + 1];
    if (name === 'host') headers.push(raw[i], value.endsWith(`:${own}`) ? value.replace(`:${own}`, `:${target.port}`) : value);
    else headers.push(raw[i], value);
  }
  if (token) headers.push('Authorization', `Bearer ${token}`);
  return headers;
}

const server = createServer((incoming, outgoing) => {
  const onward = request(
    { host: target.hostname, port: target.port, method: incoming.method, path: incoming.url, setHost: false, headers: forward(incoming.rawHeaders, server.address().port) },
    (reply) => {
      outgoing.writeHead(reply.statusCode, reply.rawHeaders);
      reply.pipe(outgoing);
    },
  );
  onward.on('error', () => outgoing.destroy());
  outgoing.on('close', () => onward.destroy());
  incoming.pipe(onward);
});
server.listen(0, '127.0.0.1', () => console.log(`proxy http://127.0.0.1:${server.address().port}`));
