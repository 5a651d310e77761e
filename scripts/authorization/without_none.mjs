// Stands before a broker whose public URL it is, and takes `none` out of its metadata: the suite prefers it otherwise,
// and would never authenticate a confidential client. Everything else passes as it is.
//
// BROKER_LISTEN  host:port of the broker; PROXY_PORT
import { createServer, request } from 'node:http';

const [host, port] = process.env.BROKER_LISTEN.split(':');
createServer((asked, reply) => {
  const onward = request({ host, port, method: asked.method, path: asked.url, headers: asked.headers }, (answer) => {
    if (!asked.url.startsWith('/.well-known/o')) {
      reply.writeHead(answer.statusCode, answer.rawHeaders);
      answer.pipe(reply);
      return;
    }
    const parts = [];
    answer.on('data', (part) => parts.push(part));
    answer.on('end', () => {
      const text = Buffer.concat(parts).toString().replaceAll('"none",', '').replaceAll(',"none"', '');
      reply.writeHead(answer.statusCode, { 'content-type': answer.headers['content-type'] });
      reply.end(text);
    });
  });
  onward.on('error', () => reply.writeHead(502).end());
  asked.pipe(onward);
}).listen(Number(process.env.PROXY_PORT), '127.0.0.1', function () {
  console.log(`http://127.0.0.1:${this.address().port}`);
});
