// The official TypeScript client from nothing but a URL: 401, metadata, registration, log-in and consent in a browser,
// token, list, call, 403, step-up, call. Once as a client that registers itself, once with a metadata document.
//
// BROKER_URL    the broker's origin
// BROKER_LINK   the one-time link of the first administrator
// TLS_CERT, TLS_KEY  files for the host of the metadata document; the broker trusts the certificate
import assert from 'node:assert/strict';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { Keeper } from './keeper.mjs';
import { Person, callback, publisher, steps } from './person.mjs';

const endpoint = new URL('/mcp', process.env.BROKER_URL);
const person = await Person.start();
await person.choosesPassword(process.env.BROKER_LINK);

/** Every request of the SDK, as method, path and status. */
function watch(seen) {
  return async (url, init) => {
    const reply = await fetch(url, init);
    seen.push(`${init?.method ?? 'GET'} ${new URL(url).pathname} ${reply.status}`);
    return reply;
  };
}

/** Lets the person answer what the client asked for, and hands the answer to the SDK. */
async function consents(keeper, transport, expected) {
  assert.ok(keeper.wanted, 'the client asked for no authorization');
  const url = keeper.wanted;
  keeper.wanted = undefined;
  assert.equal(url.searchParams.get('resource'), endpoint.href);
  for (const scope of expected) assert.ok(url.searchParams.get('scope')?.split(' ').includes(scope), `asked for ${url.searchParams.get('scope')}`);
  const at = await person.answers(url, 'Allow', keeper.redirectUrl);
  assert.equal(at.searchParams.get('state'), keeper.sent);
  await transport.finishAuth(at.searchParams);
}

async function walk(title, keeper, known) {
  const seen = [];
  const fresh = () => [
    new Client({ name: 'outside-v2', version: '1.0.0' }, { versionNegotiation: { mode: { pin: '2026-07-28' } } }),
    new StreamableHTTPClientTransport(endpoint, { authProvider: keeper, fetch: watch(seen) }),
  ];
  let [client, transport] = fresh();
  const names = async () => (await client.listTools()).tools.map((tool) => tool.name);
  await steps(title, [
    ['is sent to log in', async () => {
      await assert.rejects(() => client.connect(transport));
      assert.equal(seen[0], 'POST /mcp 401', seen.join('\n'));
      assert.equal(seen.includes('POST /register 201'), !known, seen.join('\n'));
      if (known) assert.equal(keeper.wanted.searchParams.get('client_id'), known);
    }],
    ['has a token when its person consents', async () => {
      await person.context.clearCookies();
      await consents(keeper, transport, ['public:read']);
      assert.ok(keeper.kept.access_token && keeper.kept.refresh_token);
    }],
    ['lists and calls what was granted', async () => {
      [client, transport] = fresh();
      await client.connect(transport);
      const listed = await names();
      assert.ok(listed.includes('get_public_info') && !listed.includes('get_confidential_info'), listed.join());
      const result = await client.callTool({ name: 'get_public_info', arguments: {} });
      assert.ok(!result.isError, JSON.stringify(result));
    }],
    ['steps up where a scope is missing, and calls again', async () => {
      const call = () => client.callTool({ name: 'get_confidential_info', arguments: {} });
      seen.length = 0;
      await assert.rejects(call);
      assert.equal(seen[0], 'POST /mcp 403', seen.join('\n'));
      await consents(keeper, transport, ['confidential:read']);
      const result = await call();
      assert.ok(!result.isError, JSON.stringify(result));
      assert.ok((await client.callTool({ name: 'get_public_info', arguments: {} })).content.length > 0);
    }],
    ['refreshes when its token is not taken any more', async () => {
      const before = keeper.kept;
      keeper.kept = { ...before, access_token: before.access_token.slice(0, -4) };
      await names();
      assert.notEqual(keeper.kept.refresh_token, before.refresh_token);
      await client.close();
    }],
  ]);
}

const own = await callback();
await walk('MCP client, registered', new Keeper(own.url));

const host = await publisher(new Keeper(own.url).clientMetadata);
await walk('MCP client, metadata document', new Keeper(own.url, host.url), host.url);

own.close();
host.close();
await person.close();
