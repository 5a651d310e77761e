// The official conformance suite for authorization servers, with a browser for the person it waits for.
//
// BROKER_URL, BROKER_LINK  as beside this; CLIENT_ID and, for a confidential client, CLIENT_SECRET; CALLBACK_PORT
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Person } from './person.mjs';

const suite = fileURLToPath(new URL('node_modules/@modelcontextprotocol/conformance/dist/index.js', import.meta.url));
const { BROKER_URL, BROKER_LINK, SUITE_URL = BROKER_URL, CLIENT_ID, CLIENT_SECRET, CALLBACK_PORT } = process.env;
const person = await Person.start();
if (BROKER_LINK) await person.choosesPassword(BROKER_LINK);

const secret = CLIENT_SECRET ? ['--client-secret', CLIENT_SECRET] : [];
const run = spawn(process.execPath, [suite, 'authorization', '--url', SUITE_URL, '--client-id', CLIENT_ID, ...secret, '--resource', `${BROKER_URL}/mcp`, '--port', CALLBACK_PORT], { stdio: ['ignore', 'pipe', 'inherit'] });
const lines = [];
for await (const line of createInterface({ input: run.stdout })) {
  lines.push(line);
  if (line.startsWith(`${SUITE_URL}/authorize?`) || line.startsWith(`${BROKER_URL}/authorize?`)) {
    person.answers(line, 'Allow', `http://127.0.0.1:${CALLBACK_PORT}/callback`).catch((error) => { console.error(error); run.kill(); });
  }
}
const code = run.exitCode ?? await new Promise((resolve) => run.on('exit', resolve));
const summary = lines.slice(lines.findIndex((line) => line.startsWith('=== SUMMARY')));
console.log((code === 0 ? summary : lines).join('\n'));
await person.close();
process.exit(code ?? 1);
