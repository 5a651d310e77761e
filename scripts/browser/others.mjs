// The pages that something else leads to, of a real broker: a terminal, a call that waits for a person, a server where people
// have accounts, an app that asks its person to log out.
//
// BROKER_BINARY  the program
// STATE          an empty folder for it
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { chromium } from 'playwright-core';
import { look } from './looks.mjs';

const { BROKER_BINARY: program, STATE: state, SCREENSHOTS: folder } = process.env;
const password = 'correct horse battery staple';
const listen = (server, port = 0) => new Promise((resolve) => server.listen(port, '127.0.0.1', () => resolve(server.address().port)));

// A server where people have accounts, and its authorization server, whose person says yes or, once told to, no.
let refuses = false;
const elsewhere = createServer((request, reply) => {
  const url = new URL(request.url, base);
  const json = (value) => reply.setHeader('content-type', 'application/json').end(JSON.stringify(value));
  if (url.pathname.startsWith('/.well-known/oauth-protected-resource')) return json({ resource: `${base}/mcp`, authorization_servers: [base], scopes_supported: ['w:read'] });
  if (url.pathname.startsWith('/.well-known/')) {
    return json({
      issuer: base, authorization_endpoint: `${base}/authorize`, token_endpoint: `${base}/token`, registration_endpoint: `${base}/register`,
      code_challenge_methods_supported: ['S256'], token_endpoint_auth_methods_supported: ['client_secret_post'], authorization_response_iss_parameter_supported: true,
    });
  }
  if (url.pathname === '/register') return json({ client_id: 'the-broker', client_secret: 'of-the-broker', token_endpoint_auth_method: 'client_secret_post' });
  if (url.pathname === '/token') return json({ access_token: 'a', token_type: 'Bearer', expires_in: 3600, refresh_token: 'r' });
  if (url.pathname === '/authorize') {
    const back = new URL(url.searchParams.get('redirect_uri'));
    back.searchParams.set('state', url.searchParams.get('state'));
    back.searchParams.set('iss', base);
    if (refuses) back.searchParams.set('error', 'access_denied');
    else back.searchParams.set('code', 'c0de');
    return reply.writeHead(303, { location: back.href }).end();
  }
  return reply.writeHead(404).end();
});
const base = `http://127.0.0.1:${await listen(elsewhere)}`;

const probe = createServer();
const port = await listen(probe);
await new Promise((resolve) => probe.close(resolve));
const url = `http://127.0.0.1:${port}`;
writeFileSync(`${state}/policy.toml`, `
version = "t"
[[rule]]
id = "delete-people"
effect = "ask"
tools = ["auth\\\\.graph\\\\.operation\\\\.execute\\\\.v1"]
graph = { methods = ["DELETE"], paths = ["/v1.0/users/{id}"], permissions = ["User.ReadWrite.All"] }
[[rule]]
id = "public"
effect = "allow"
tools = ["get_public_info"]
scopes = ["public:read"]
[[rule]]
id = "confidential"
effect = "allow"
tools = ["get_confidential_info"]
scopes = ["confidential:read"]
`);
writeFileSync(`${state}/broker.toml`, `
policy.file = "policy.toml"
[server]
listen = "127.0.0.1:${port}"
[outbound]
allow_private = ["127.0.0.1"]
[[authorization_server.client]]
client_id = "terminal"
grants = ["device_code", "refresh_token"]
[[authorization_server.client]]
client_id = "portal"
secret = "portal-secret"
grants = ["authorization_code"]
redirect_uris = ["http://127.0.0.1:53682/callback"]
post_logout_redirect_uris = ["https://portal.example/bye?from=broker"]
[[upstream.server]]
id = "weather"
url = "${base}/mcp"
credential = { per_user = {} }
`);

const broker = spawn(program, ['serve'], { cwd: state, stdio: ['ignore', 'ignore', 'pipe'] });
process.on('exit', () => broker.kill());
let said = '';
broker.stderr.on('data', (bytes) => { said += bytes; });
async function until(what, ask) {
  for (let tries = 0; tries < 600; tries += 1) {
    const found = await ask();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`not within 30 s: ${what}\n${said}`);
}
const link = await until('the one-time link', () => said.match(/http:\S+\/login\/link\/\S+/)?.[0]);
await until('ready', () => fetch(`${url}/ready`).then((reply) => reply.status === 200, () => false));

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ['--no-sandbox'] });
const context = await browser.newContext();
const page = await context.newPage();
const complaints = [];
page.on('console', (message) => { if (message.type() === 'error') complaints.push(message.text()); });
await context.route('https://portal.example/**', (route) => route.fulfill({ body: 'bye' }));
const open = (path) => page.goto(url + path);
const press = (name) => page.getByRole('button', { name, exact: true }).click();
const heading = () => page.getByRole('heading', { level: 1 }).innerText();
const form = (path, fields) => fetch(url + path, { method: 'POST', body: new URLSearchParams(fields) }).then((reply) => reply.json());

await page.goto(link);
await page.getByLabel('Password').fill(password);
await page.getByLabel('The same again').fill(password);
await press('Save and log in');
await page.waitForURL('**/account');

// A terminal. Whoever opens its page logs in first, and comes back to it.
const codes = async () => (await form('/device_authorization', { client_id: 'terminal', scope: 'public:read confidential:read' })).user_code;
await context.clearCookies();
await open('/device');
await look(page, 'device-login');
await page.getByLabel('User name').fill('admin');
await page.getByLabel('Password').fill(password);
await page.keyboard.press('Enter');
await page.waitForURL('**/device');
await look(page, 'device');
await page.getByLabel('Code').fill('BCDF-GHJK');
await press('Go on');
await page.getByRole('alert').waitFor();
await look(page, 'device-problem');
await page.getByLabel('Code').fill((await codes()).toLowerCase());
await press('Go on');
await page.getByRole('heading', { name: /act for you/ }).waitFor();
await look(page, 'device-question');
await press('Allow');
await page.getByRole('heading', { name: 'Your device is connected' }).waitFor();
await look(page, 'device-done');
await open('/device');
await page.getByLabel('Code').fill(await codes());
await page.keyboard.press('Enter');
await press('Cancel');
await page.getByRole('heading', { name: 'Nothing was allowed' }).waitFor();
await look(page, 'device-refused');

// Calls that wait for a person.
await open('/approvals');
await look(page, 'approvals-none');
const minted = execFileSync(program, ['token', 'mint', '--sub', 'ada', '--client', 'agent', '--json'], { cwd: state, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
const token = JSON.parse(minted).token;
async function asks(id) {
  const name = 'auth.graph.operation.execute.v1';
  const meta = { 'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientCapabilities': {} };
  const body = { jsonrpc: '2.0', id: 7, method: 'tools/call', params: { name, arguments: { operation: { method: 'DELETE', path: `/v1.0/users/${id}` } }, _meta: meta } };
  const headers = {
    authorization: `Bearer ${token}`, 'content-type': 'application/json', accept: 'application/json, text/event-stream',
    'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': name,
  };
  const reply = await (await fetch(`${url}/mcp`, { method: 'POST', headers, body: JSON.stringify(body) })).json();
  const where = reply.result?.structuredContent?.error?.metadata?.approval_url;
  assert.ok(where, JSON.stringify(reply));
  return where;
}
const first = await asks('grace@contoso.example');
const second = await asks(`${'a-person-with-a-very-long-name.'.repeat(6)}x@contoso.example`);
await open('/approvals');
await look(page, 'approvals');
await page.goto(second);
await look(page, 'approval');
await page.getByLabel('Why').fill('ticket 4711, asked by Grace herself');
await press('Approve this call, once');
await page.getByRole('status').waitFor();
await look(page, 'approval-approved');
await page.goto(first);
await press('Deny');
await page.getByRole('status').waitFor();
await look(page, 'approval-denied');
await open('/approvals/019f0000-0000-7000-8000-000000000000');
await look(page, 'approval-unknown');

// Why something was refused: by the link on an error page, of a call that a rule holds back, and of an id that nobody had.
await page.getByRole('link', { name: 'look it up' }).click();
await page.getByRole('heading', { name: 'What happened' }).waitFor();
await look(page, 'explain-page');
const hostile = await fetch(`${url}/register`, {
  method: 'POST', headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ client_name: 'Cursor <b>of\u202e an attacker</b>', redirect_uris: ['http://127.0.0.1/cb'] }),
}).then((reply) => reply.json());
const refusal = await form('/token', { grant_type: 'authorization_code', code: 'c0de', redirect_uri: 'http://127.0.0.1/cb', client_id: hostile.client_id, code_verifier: 'v'.repeat(43) });
await page.goto(refusal.error_uri);
await page.getByText('Cursor throws its tokens away').waitFor();
await page.getByText('What was sent').click();
await look(page, 'explain-client');
const metadata = { 'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientCapabilities': {} };
const reader = execFileSync(program, ['token', 'mint', '--sub', 'ada', '--scope', 'public:read', '--json'], { cwd: state, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
const held = await fetch(`${url}/mcp`, {
  method: 'POST',
  headers: { authorization: `Bearer ${JSON.parse(reader).token}`, 'content-type': 'application/json', accept: 'application/json, text/event-stream', 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': 'get_confidential_info' },
  body: JSON.stringify({ jsonrpc: '2.0', id: 8, method: 'tools/call', params: { name: 'get_confidential_info', arguments: {}, _meta: metadata } }),
});
assert.equal(held.status, 403);
await open(`/explain/${held.headers.get('x-request-id')}`);
await page.getByText('insufficient_scope').first().waitFor();
await look(page, 'explain-rules');
await open('/explain/019f0000-0000-7000-8000-000000000000');
assert.equal(await heading(), 'Nothing is on record here');
await look(page, 'explain-unknown');

// An account at a server behind the broker: none, connected, refused there, ended.
await open('/account');
await look(page, 'connections-none');
await page.getByRole('link', { name: /^Connect/ }).click();
await page.getByText('Connected').first().waitFor();
await look(page, 'connections-connected');
refuses = true;
await page.getByRole('link', { name: /^Connect again/ }).click();
await page.waitForURL((at) => at.pathname !== '/account');
await look(page, 'connections-refused');
await open('/account');
await page.getByRole('button', { name: /^Disconnect/ }).click();
await page.getByText('Not connected').waitFor();
await look(page, 'connections-ended');
await open('/account/connections/nowhere/callback?state=x&code=y');
await look(page, 'connections-unknown');

// An app asks its person to log out.
const challenge = createHash('sha256').update('v'.repeat(43)).digest('base64url');
const asked = new URLSearchParams({
  response_type: 'code', client_id: 'portal', redirect_uri: 'http://127.0.0.1:53682/callback', scope: 'openid',
  state: 's', code_challenge: challenge, code_challenge_method: 'S256',
});
const leave = '/end-session?' + new URLSearchParams({ client_id: 'portal', post_logout_redirect_uri: 'https://portal.example/bye?from=broker', state: 'x' });
await open(leave);
assert.equal(await heading(), 'Log out?');
await look(page, 'end-session');
await open('/end-session?client_id=portal&post_logout_redirect_uri=https%3A%2F%2Fevil.example%2F');
await look(page, 'end-session-refused');
await open(`/authorize?${asked}`);
await look(page, 'consent-portal');
await open(leave);
await press('Log out');
await page.waitForURL('https://portal.example/**');
await open('/logout');
await look(page, 'logged-out-elsewhere');

assert.deepEqual(complaints.filter((text) => /Content.Security.Policy|Refused/i.test(text)), []);
await browser.close();
elsewhere.close();
console.log(`every other page works and is clean; screenshots in ${folder}`);
process.exit(0);
