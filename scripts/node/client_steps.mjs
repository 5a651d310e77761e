// The steps that every official client walks against a started broker; one line each, exit 1 on the
// first that fails. The two client files beside this one bring their SDK's classes.
//
// BROKER_URL           http://127.0.0.1:<port>/mcp
// BROKER_TOKEN         granted public:read
// BROKER_TOKEN_FULL    granted public:read and confidential:read
// BROKER_TOKEN_EXPIRED granted public:read, expired
import assert from 'node:assert/strict';

const need = (name) => process.env[name] ?? assert.fail(`${name} is not set`);

// Remembers every refusal on the wire: the SDKs' errors tell a status at most, never the challenge.
function watch(refusals) {
  return async (url, init) => {
    const reply = await fetch(url, init);
    if (reply.status >= 400) refusals.push({ status: reply.status, challenge: reply.headers.get('www-authenticate') ?? '' });
    return reply;
  };
}

async function refused(what, refusals, action) {
  await assert.rejects(action, undefined, `${what}: the client saw no error`);
  // Clients also probe (GET, discovery); what counts is the first answer with a challenge.
  const refusal = refusals.find((one) => one.challenge);
  assert.ok(refusal, `${what}: no challenge in ${JSON.stringify(refusals)}`);
  return refusal;
}

// `connect(url, fetch, headers)` gives a connected client of the SDK under test.
export async function walk(title, connect) {
  const url = new URL(need('BROKER_URL'));
  const session = (token, refusals = []) => connect(url, watch(refusals), token ? { Authorization: `Bearer ${token}` } : {});
  const names = async (client) => (await client.listTools()).tools.map((tool) => tool.name).sort();
  const steps = [
    ['lists the tools its scopes allow', async () => {
      const client = await session(need('BROKER_TOKEN'));
      const listed = await names(client);
      assert.ok(listed.includes('get_public_info'), `listed ${listed}`);
      assert.ok(!listed.includes('get_confidential_info'), `listed ${listed}`);
      await client.close();
    }],
    ['calls an allowed tool', async () => {
      const client = await session(need('BROKER_TOKEN'));
      const result = await client.callTool({ name: 'get_public_info', arguments: {} });
      assert.ok(!result.isError && result.content[0].text.length > 0, JSON.stringify(result));
      await client.close();
    }],
    ['is told which scope a refused tool needs', async () => {
      const refusals = [];
      const client = await session(need('BROKER_TOKEN'), refusals);
      refusals.length = 0;
      const call = () => client.callTool({ name: 'get_confidential_info', arguments: {} });
      const { status, challenge } = await refused('missing scope', refusals, call);
      assert.equal(status, 403);
      assert.match(challenge, /^Bearer .*error="insufficient_scope"/);
      assert.match(challenge, /scope="[^"]*confidential:read[^"]*"/);
      assert.match(challenge, /resource_metadata="http/);
      await client.close();
    }],
    ['lists and calls more with more scopes', async () => {
      const client = await session(need('BROKER_TOKEN_FULL'));
      assert.ok((await names(client)).includes('get_confidential_info'));
      const result = await client.callTool({ name: 'get_confidential_info', arguments: {} });
      assert.ok(!result.isError, JSON.stringify(result));
      await client.close();
    }],
    ['is challenged without a token, and told no error', async () => {
      const refusals = [];
      const { status, challenge } = await refused('no token', refusals, () => session(null, refusals));
      assert.equal(status, 401);
      assert.match(challenge, /^Bearer .*resource_metadata="http/);
      assert.doesNotMatch(challenge, /error=/);
    }],
    ['is refused with an expired token', async () => {
      const refusals = [];
      const { status, challenge } = await refused('expired', refusals, () => session(need('BROKER_TOKEN_EXPIRED'), refusals));
      assert.equal(status, 401);
      assert.match(challenge, /error="invalid_token"/);
    }],
    ['is refused with a changed token', async () => {
      const refusals = [];
      const token = need('BROKER_TOKEN');
      const changed = `${token.slice(0, -8)}${[...token.slice(-8)].reverse().join('')}`;
      assert.notEqual(changed, token);
      const { status, challenge } = await refused('changed', refusals, () => session(changed, refusals));
      assert.equal(status, 401);
      assert.match(challenge, /error="invalid_token"/);
    }],
  ];
  for (const [name, step] of steps) {
    try {
      await step();
      console.log(`ok   ${title}: ${name}`);
    } catch (error) {
      console.log(`FAIL ${title}: ${name}\n     ${error.message}`);
      process.exit(1);
    }
  }
  process.exit(0);
}
