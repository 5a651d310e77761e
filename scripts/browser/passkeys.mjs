// Passkeys of a real broker in a real Chromium, whose authenticators are virtual (WebAuthn §11): made, used alone and after a
// password, declined, cloned, taken to another site, removed; with axe and pictures of every page on the way.
//
// BROKER_BINARY  the program
// STATE          an empty folder for it
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { chromium } from 'playwright-core';
import { look } from './looks.mjs';

const { BROKER_BINARY: program, STATE: state, SCREENSHOTS: folder } = process.env;
const password = 'correct horse battery staple';
const listen = (server) => new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server.address().port)));

const probe = createServer();
const port = await listen(probe);
await new Promise((resolve) => probe.close(resolve));
const url = `http://localhost:${port}`;
// A page of another origin whose host is the same: a browser lets it ask for our passkeys.
const other = createServer((_, reply) => reply.setHeader('content-type', 'text/html').end('<!doctype html><title>other</title>'));
const elsewhere = `http://localhost:${await listen(other)}`;
writeFileSync(`${state}/broker.toml`, `[server]\nlisten = "127.0.0.1:${port}"\npublic_url = "${url}"\n`);

const broker = spawn(program, ['serve'], { cwd: state, stdio: ['ignore', 'pipe', 'pipe'] });
process.on('exit', () => broker.kill());
let said = '';
let recorded = '';
broker.stderr.on('data', (bytes) => { said += bytes; });
broker.stdout.on('data', (bytes) => { recorded += bytes; });
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
const audited = (type, part) => until(`${type} ${part}`, () => recorded.split('\n').some((line) => line.includes(`"${type}"`) && line.includes(part)));

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ['--no-sandbox'] });
const context = await browser.newContext();
const page = await context.newPage();
const complaints = [];
page.on('console', (message) => { if (message.type() === 'error') complaints.push(message.text()); });
const open = (path) => page.goto(url + path);
const press = (name) => page.getByRole('button', { name, exact: true }).click();
const devices = await context.newCDPSession(page);
await devices.send('WebAuthn.enable');
const options = { protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true };
const device = async () => (await devices.send('WebAuthn.addVirtualAuthenticator', { options })).authenticatorId;
const held = async (authenticatorId) => (await devices.send('WebAuthn.getCredentials', { authenticatorId })).credentials;
async function logOut() {
  await open('/account');
  await press('Log out');
  await page.getByText('You are logged out').waitFor();
}
async function typePassword() {
  await open('/login');
  await page.getByLabel('User name').fill('admin');
  await page.getByLabel('Password').fill(password);
  await page.keyboard.press('Enter');
}
async function refused(words) {
  await page.getByRole('alert').filter({ hasText: words }).waitFor();
  assert.equal(new URL(page.url()).pathname, '/login/passkey');
}

await page.goto(link.replace('127.0.0.1', 'localhost'));
await page.getByLabel('Password').fill(password);
await page.getByLabel('The same again').fill(password);
await press('Save and log in');
await page.waitForURL('**/account');
await look(page, 'account-without-passkeys');

// Made on the account page.
const first = await device();
await page.getByRole('link', { name: 'Manage your passkeys' }).click();
await look(page, 'passkeys-none');
await page.getByLabel('What you call it').fill('work laptop');
await page.getByLabel('Your password').fill('a wrong password');
await press('Go on');
await page.getByRole('alert').filter({ hasText: 'The password is not right.' }).waitFor();
await look(page, 'passkeys-problem');
assert.equal(await page.getByLabel('What you call it').inputValue(), 'work laptop');
await page.getByLabel('Your password').fill(password);
await press('Go on');
await page.getByRole('heading', { name: 'Add a passkey' }).waitFor();
await look(page, 'passkey-new');
await press('Make the passkey');
await page.getByRole('heading', { name: 'Keep these codes' }).waitFor();
await look(page, 'passkey-recovery-codes');
const recovery = await page.getByRole('list', { name: 'Recovery codes' }).getByRole('listitem').allInnerTexts();
assert.equal(new Set(recovery).size, 10);
await page.getByRole('link', { name: 'I have kept them' }).click();
await page.waitForURL('**/account/passkeys');
await page.getByText('work laptop').first().waitFor();
await look(page, 'passkeys');
const [made] = await held(first);
assert.equal(made.rpId, 'localhost');
assert.ok(made.isResidentCredential);
await audited('person.passkey.added', '"first":true');

// Alone, without a name or a password.
await logOut();
await open('/login');
await page.getByRole('button', { name: 'Log in with a passkey' }).waitFor();
await look(page, 'login-with-passkeys');
await press('Log in with a passkey');
await page.waitForURL('**/account');
await page.getByText('Logged in with a passkey').waitFor();
await look(page, 'account-with-passkeys');
await audited('person.login.succeeded', '"method":"passkey"');

// After the password.
await logOut();
await typePassword();
await page.waitForURL('**/login/code');
await look(page, 'second-step-passkey');
await press('Use a passkey');
await page.waitForURL('**/account');
await page.getByText('Logged in with a password and a passkey').waitFor();
await audited('person.login.succeeded', '"method":"password_and_passkey"');

// The person is not verified: the browser gives nothing, and says so.
await logOut();
await devices.send('WebAuthn.setUserVerified', { authenticatorId: first, isUserVerified: false });
await open('/login');
await press('Log in with a passkey');
await page.getByRole('alert').filter({ hasText: 'The browser gave no passkey.' }).waitFor();
await look(page, 'login-passkey-declined');
await devices.send('WebAuthn.setUserVerified', { authenticatorId: first, isUserVerified: true });
await press('Log in with a passkey');
await page.waitForURL('**/account');

// A clone, whose count is behind.
await logOut();
const [latest] = await held(first);
const holds = async (signCount) => {
  await devices.send('WebAuthn.clearCredentials', { authenticatorId: first });
  await devices.send('WebAuthn.addCredential', { authenticatorId: first, credential: { ...latest, signCount } });
};
await holds(1);
await open('/login');
await press('Log in with a passkey');
await refused('This passkey does not open an account here.');
await look(page, 'login-passkey-refused');
await audited('person.login.failed', '"reason":"sign_count"');
await open('/account');
await page.waitForURL('**/login');
await holds(latest.signCount + 10);
await open('/login');
await press('Log in with a passkey');
await page.waitForURL('**/account');

// Another site that passes our question on gets an answer that we refuse.
await logOut();
await open('/login');
const question = await page.locator('button[data-passkey]').getAttribute('data-question');
const page2 = await context.newPage();
const devices2 = await context.newCDPSession(page2);
await devices2.send('WebAuthn.enable');
const { authenticatorId: second } = await devices2.send('WebAuthn.addVirtualAuthenticator', { options });
await devices2.send('WebAuthn.addCredential', { authenticatorId: second, credential: { ...latest, signCount: latest.signCount + 50 } });
await page2.goto(elsewhere);
const stolen = await page2.evaluate(async (asked) => {
  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, '+').replace(/_/g, '/')), (letter) => letter.charCodeAt(0));
  const publicKey = JSON.parse(asked);
  const given = await navigator.credentials.get({ publicKey: { ...publicKey, challenge: bytes(publicKey.challenge), allowCredentials: [] } });
  const { response } = given;
  const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
  return JSON.stringify({
    id: given.id, rawId: text(given.rawId), type: given.type, extensions: {},
    response: {
      authenticatorData: text(response.authenticatorData), clientDataJSON: text(response.clientDataJSON),
      signature: text(response.signature), userHandle: text(response.userHandle),
    },
  });
}, question);
assert.ok(stolen.includes('signature'));
await page.evaluate((assertion) => {
  const { form } = document.querySelector('button[data-passkey]');
  form.elements.assertion.value = assertion;
  form.submit();
}, stolen);
await refused('This passkey does not open an account here.');
await audited('person.login.failed', '"reason":"credentials"');
await page2.close();

// The broker's other name on loopback is another site to a browser: no passkeys are offered there. Nor where no script runs.
const alias = await (await browser.newContext()).newPage();
await alias.goto(`http://127.0.0.1:${port}/login`);
assert.equal(await alias.getByRole('button', { name: 'Log in with a passkey' }).count(), 0);
await alias.close();
const plain = await (await browser.newContext({ javaScriptEnabled: false })).newPage();
await plain.goto(`${url}/login`);
assert.equal(await plain.getByRole('button', { name: 'Log in with a passkey' }).count(), 0);
await plain.getByLabel('User name').fill('admin');
await plain.getByLabel('Password').fill(password);
await plain.getByRole('button', { name: 'Log in', exact: true }).click();
await plain.waitForURL('**/login/code');
await plain.getByText('Use a recovery code').click();
await plain.getByLabel('Recovery code').fill(recovery[0]);
await plain.getByRole('button', { name: 'Log in with it' }).click();
await plain.waitForURL('**/account');
await plain.close();

// A second one, allowed with the first; the same device makes no two.
await open('/login');
await press('Log in with a passkey');
await page.waitForURL('**/account');
await open('/account/passkeys');
await page.getByLabel('What you call it').fill('a name that is about as long as a name of a passkey may ever be');
await page.locator('#add-password').fill(password);
await press('Go on with a passkey instead of a code');
await press('Make the passkey');
await page.getByRole('alert').filter({ hasText: 'The browser gave no passkey.' }).waitFor();
await look(page, 'passkey-new-declined');
await devices.send('WebAuthn.removeVirtualAuthenticator', { authenticatorId: first });
const third = await device();
await press('Make the passkey');
await page.waitForURL('**/account/passkeys');
await page.getByRole('listitem').nth(1).waitFor();
await look(page, 'passkeys-two');
const [latter] = await held(third);
assert.equal(latter.userHandle, made.userHandle);

// An app beside them, confirmed with a passkey; then every way at once.
await open('/account/authenticator');
await look(page, 'authenticator-with-passkeys');

// Removed: it opens nothing any more, though the device still has it.
await open('/account/passkeys');
await page.getByLabel('Which').selectOption({ index: 1 });
await page.locator('#removal-password').fill(password);
await page.locator('#removal-code').fill(recovery[1]);
await press('Remove it');
await page.waitForURL('**/account/passkeys');
await audited('person.passkey.removed', '');
await logOut();
await open('/login');
await press('Log in with a passkey');
await refused('This passkey does not open an account here.');

// The keyboard alone.
await open('/login');
await page.getByRole('button', { name: 'Log in with a passkey' }).focus();
await page.keyboard.press('Enter');
await refused('This passkey does not open an account here.');

assert.deepEqual(complaints.filter((text) => /Content.Security.Policy|Refused|integrity/i.test(text)), []);
await browser.close();
other.close();
console.log(`passkeys work, and every page of them is clean; screenshots in ${folder}`);
process.exit(0);
