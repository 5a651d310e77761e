// The official TypeScript client (SDK v2, held to the 2026-07-28 wire) with a token of each kind: what it lists, what it
// calls, and how it is refused. Prints Markdown; exits 1 at the first thing that is not as it must be.
//
// Standard input: { url, fetches: { client_id, client_secret }, kinds: [{ title, good, expired, more }] }
import assert from 'node:assert/strict';
import { Client, ClientCredentialsProvider, InsufficientScopeError, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';

let input = '';
for await (const part of process.stdin) input += part;
const { url, fetches, kinds } = JSON.parse(input);

// `wire` is told every refusal as it came: the SDK's errors hold less than the challenge.
async function connect(options, wire = []) {
  const watch = async (target, init) => {
    const reply = await fetch(target, init);
    if (reply.status === 401 || reply.status === 403) wire.push(`${reply.status} ${reply.headers.get('www-authenticate')}`);
    return reply;
  };
  const client = new Client({ name: 'first-steps', version: '1.0.0' }, { versionNegotiation: { mode: { pin: '2026-07-28' } } });
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { fetch: watch, ...options }));
  return client;
}
const bearer = (token) => ({ requestInit: { headers: { Authorization: `Bearer ${token}` } } });

async function call(client, name) {
  const result = await client.callTool({ name, arguments: {} });
  assert.ok(!result.isError, JSON.stringify(result));
  return result.content[0].text.split('\n')[0];
}

// The answer that the client was refused with; `kind` is what it must begin with.
async function refused(kind, wire, action, error = Error) {
  await assert.rejects(action, error);
  assert.ok(wire.at(-1)?.startsWith(kind), `${kind}: ${JSON.stringify(wire)}`);
  return wire.at(-1);
}
const INVALID = '401 Bearer error="invalid_token"', STEP_UP = '403 Bearer error="insufficient_scope"';

async function listsAndCalls(client, say) {
  const tools = (await client.listTools()).tools.map((tool) => tool.name).sort();
  assert.ok(tools.includes('get_public_info') && !tools.includes('get_confidential_info'), `${tools}`);
  say('tools/list', tools.join(', '));
  say('tools/call get_public_info', await call(client, 'get_public_info'));
}

async function shows(title, walk) {
  const lines = [];
  await walk((what, told) => lines.push(`${what}\n    ${told}`));
  console.log(`\n### ${title}\n\n\`\`\`text\n${lines.join('\n')}\n\`\`\``);
}

for (const { title, good, expired, more } of kinds) {
  await shows(title, async (say) => {
    const wire = [];
    const client = await connect(bearer(good), wire);
    await listsAndCalls(client, say);
    say('tools/call get_confidential_info', await refused(STEP_UP, wire, () => call(client, 'get_confidential_info'), InsufficientScopeError));
    say('tools/call get_confidential_info, with a token that has the scope', await call(await connect(bearer(more)), 'get_confidential_info'));
    const late = [];
    say('an expired token', await refused(INVALID, late, () => connect(bearer(expired), late)));
    if (good.split('.').length === 3) {
      const changed = good.slice(0, -8) + [...good.slice(-8)].reverse().join('');
      const other = [];
      say('a token whose signature was changed', await refused(INVALID, other, () => connect(bearer(changed), other)));
    }
  });
}

await shows('The client fetches its tokens itself', async (say) => {
  const scopes = [];
  class Watched extends ClientCredentialsProvider {
    saveTokens(tokens) {
      scopes.push(tokens.scope);
      super.saveTokens(tokens);
    }
  }
  const provider = new Watched({ clientId: fetches.client_id, clientSecret: fetches.client_secret, expectedIssuer: new URL(url).origin });
  const wire = [];
  const client = await connect({ authProvider: provider }, wire);
  say('without a token', wire[0]);
  assert.match(wire[0], /^401 Bearer (?!error)/);
  say('so it asks the authorization server, and gets the scopes', scopes[0]);
  await listsAndCalls(client, say);
  const text = await call(client, 'get_confidential_info');
  say('tools/call get_confidential_info', wire.at(-1));
  say('so it asks again, and gets the scopes', scopes.at(-1));
  assert.ok(scopes.length === 2 && scopes[1].includes('confidential:read'), `${scopes}`);
  say('tools/call get_confidential_info, which the client repeats by itself', text);
});

await shows('No token', async (say) => {
  const wire = [];
  say('server/discover', await refused('401 Bearer scope=', wire, () => connect({}, wire)));
});
process.exit(0);
