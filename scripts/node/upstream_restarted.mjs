// A server behind the broker that is killed and started again, which forgets its sessions, before the TypeScript SDKs of both eras.
//
//   node upstream_restarted.mjs URL PORT COMMAND…
//
// COMMAND PORT starts the server, which has a tool `add`.
//
// UPSTREAM_TOKEN       granted use:it
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Client as NewClient, StreamableHTTPClientTransport as NewTransport } from '@modelcontextprotocol/client';
import { Client as OldClient } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as OldTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const [at, port, program, ...more] = process.argv.slice(2);
const url = new URL(at);
const behind = url.pathname.split('/')[2];

let server;
process.on('exit', () => server?.kill('SIGKILL'));
async function start() {
  server = spawn(program, [...more, port], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [said] = await Promise.race([once(server.stdout, 'data'), once(server, 'exit').then(() => [''])]);
  assert.match(String(said), /listening/);
}
async function restart() {
  server.kill('SIGKILL');
  await once(server, 'exit');
  await start();
}

// What is sent, with the answer's status; of handshakes and calls alone.
const seen = [];
async function watched(address, init) {
  const reply = await fetch(address, init);
  const method = typeof init?.body === 'string' ? JSON.parse(init.body).method : undefined;
  if (['initialize', 'server/discover', 'tools/call'].includes(method)) seen.push(`${method} ${reply.status}`);
  return reply;
}
const transport = { fetch: watched, requestInit: { headers: { Authorization: `Bearer ${process.env.UPSTREAM_TOKEN}` } } };
async function oldClient() {
  const client = new OldClient({ name: 'outside-v1', version: '1.0.0' });
  await client.connect(new OldTransport(url, transport));
  return client;
}
async function adds(client) {
  const result = await client.callTool({ name: 'add', arguments: { a: 2, b: 3 } });
  assert.match(JSON.stringify(result.content), /5/);
}

try {
  await start();
  const modern = new NewClient({ name: 'outside-v2', version: '1.0.0' }, { versionNegotiation: { mode: { pin: '2026-07-28' } } });
  await modern.connect(new NewTransport(url, transport));
  const legacy = await oldClient();
  for (const client of [modern, legacy]) await adds(client);

  await restart();
  seen.length = 0;
  for (let times = 0; times < 2; times += 1) await adds(modern);
  assert.deepEqual(seen, ['tools/call 200', 'tools/call 200']);
  console.log(`ok    ${behind}, TypeScript SDK v2: goes on after a restart of the server`);

  seen.length = 0;
  await assert.rejects(adds(legacy));
  assert.deepEqual(seen, ['tools/call 404']);
  const again = await oldClient();
  await adds(again);
  assert.deepEqual(seen, ['tools/call 404', 'initialize 200', 'tools/call 200']);
  console.log(`ok    ${behind}, TypeScript SDK v1: is told by 404 that its session is over, and goes on in a new one`);
} catch (error) {
  console.log(`FAIL  ${behind}, restarted: ${seen.join(', ')}\n      ${error.stack}`);
  process.exit(1);
}
process.exit(0);
