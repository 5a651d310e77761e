// A newcomer's path: a broker that was started just now, the one-time link, a client that knows the URL alone, log-in and consent in a
// browser, and a first answer of the simulated Graph. Prints what happened, as a part of docs/first-steps.md.
//
// BROKER_URL    the broker's origin
// BROKER_LINK   the one-time link of the first administrator
import assert from 'node:assert/strict';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { Keeper } from './keeper.mjs';
import { Person, callback } from './person.mjs';

const GRAPH = 'auth.graph.operation.execute.v1';
const endpoint = new URL('/mcp', process.env.BROKER_URL);
const person = await Person.start();
const own = await callback();
const keeper = new Keeper(own.url, undefined, 'A first client');

const fence = (text) => console.log(`\n\`\`\`text\n${text.trimEnd()}\n\`\`\``);
const fresh = () => [
  new Client({ name: 'a-first-client', version: '1.0.0' }, { versionNegotiation: { mode: { pin: '2026-07-28' } } }),
  new StreamableHTTPClientTransport(endpoint, { authProvider: keeper }),
];

/** What the client opens a browser for; gives what the person read there. */
async function consents(transport) {
  assert.ok(keeper.wanted, 'the client asked for no authorization');
  const url = keeper.wanted;
  keeper.wanted = undefined;
  const read = await person.asked(url);
  await person.press('Allow');
  await person.page.waitForURL((at) => at.href.startsWith(own.url));
  await transport.finishAuth(new URL(person.page.url()).searchParams);
  return read;
}

await person.choosesPassword(process.env.BROKER_LINK);
console.log('\nThe link opens a page on which you choose a password for `admin`.');

let [client, transport] = fresh();
await assert.rejects(() => client.connect(transport));
console.log('\nThe client is answered 401, finds the rest by the metadata, registers itself, and opens a browser: you log in as `admin`, and read what it asks for:');
fence(await consents(transport));
[client, transport] = fresh();
await client.connect(transport);
const { tools } = await client.listTools();
console.log('\nYou press *Allow*, and it sees the tools that this opens to it:');
fence(tools.map((tool) => tool.name).join('\n'));

const call = () => client.callTool({ name: GRAPH, arguments: { operation: { method: 'GET', path: '/v1.0/users?$top=2&$select=displayName' } } });
const answer = await call();
assert.ok(!answer.isError, JSON.stringify(answer));
assert.equal(answer.structuredContent.simulated, true);
console.log('\nAsked for two people, it calls Graph. The answer says of itself that it is simulated:');
const { simulated, status, result } = answer.structuredContent;
fence(JSON.stringify({ status, simulated, response_body: result.execution.response_body }, null, 2));

await client.close();
own.close();
await person.close();
