// Accounts without a password in a real Chromium, whose authenticators are virtual (WebAuthn §11): set up by a one-time link with
// the keyboard alone, logged in to, given a second passkey and at last a password, opened anew by an administrator's link; with axe
// and pictures of every page on the way.
//
// BROKER_BINARY  the program
// STATE          an empty folder for it
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { chromium } from 'playwright-core';
import { look } from './looks.mjs';

const { BROKER_BINARY: program, STATE: state, SCREENSHOTS: folder } = process.env;
const password = 'correct horse battery staple';

const probe = createServer();
const port = await new Promise((resolve) => probe.listen(0, '127.0.0.1', () => resolve(probe.address().port)));
await new Promise((resolve) => probe.close(resolve));
const url = `http://localhost:${port}`;
// Everybody must have two factors: a passkey is both.
writeFileSync(`${state}/broker.toml`, `[server]\nlisten = "127.0.0.1:${port}"\npublic_url = "${url}"\n[authorization_server]\nsecond_factor = "everyone"\n`);

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
const command = (...words) => execFileSync(program, words, { cwd: state, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });

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
const codes = async () => page.getByRole('list', { name: 'Recovery codes' }).getByRole('listitem').allInnerTexts();
async function logOut() {
  await open('/account');
  await press('Log out');
  await page.getByText('You are logged out').waitFor();
}
async function logIn() {
  await open('/login');
  await press('Log in with a passkey');
  await page.waitForURL('**/account');
}
/** Goes on with Tab until what is focused is called so. */
async function tabTo(name) {
  for (let steps = 0; steps < 40; steps += 1) {
    await page.keyboard.press('Tab');
    const called = await page.evaluate(() => {
      const { activeElement: at } = document;
      return (at.labels?.[0]?.innerText ?? at.innerText ?? '').trim();
    });
    if (called === name) return;
  }
  throw new Error(`the keyboard does not get to ${name}`);
}

// Set up, with the keyboard alone.
const first = await device();
await page.goto(link.replace('127.0.0.1', 'localhost'));
await page.getByRole('heading', { name: 'Welcome. Choose how you log in' }).waitFor();
await look(page, 'link-with-passkey');
await tabTo('What you call it');
await page.keyboard.type('work laptop');
await tabTo('Set up with a passkey');
await page.keyboard.press('Enter');
await page.getByRole('heading', { name: 'Add a passkey' }).waitFor();
await look(page, 'link-passkey-new');
await page.getByRole('link', { name: 'Back to where you choose' }).waitFor();
await tabTo('Make the passkey');
await page.keyboard.press('Enter');
await page.getByRole('heading', { name: 'Keep these codes' }).waitFor();
await page.getByText('You have no password').waitFor();
await look(page, 'link-passkey-codes');
const recovery = await codes();
assert.equal(new Set(recovery).size, 10);
await tabTo('I have kept them');
await page.keyboard.press('Enter');
await page.waitForURL('**/account');
await page.getByText('None: you log in with a passkey.').waitFor();
await page.getByText('Logged in with a passkey').waitFor();
await look(page, 'account-without-password');
const [made] = await held(first);
assert.ok(made.isResidentCredential && made.rpId === 'localhost');
await audited('person.passkey.set', '"first":true');
await page.goto(link.replace('127.0.0.1', 'localhost'));
await page.getByText(/link/i).first().waitFor();
assert.equal(await page.getByRole('button', { name: 'Set up with a passkey' }).count(), 0, 'it works once');

// By the passkey, and by nothing that is typed.
await logOut();
await open('/login');
await page.getByLabel('User name').fill('admin');
await page.getByLabel('Password').fill(password);
await page.keyboard.press('Enter');
await page.getByRole('alert').filter({ hasText: 'The user name or the password is not right.' }).waitFor();
await logIn();
await audited('person.login.succeeded', '"method":"passkey"');

// The only one stays, until there is another.
await open('/account/passkeys');
await page.getByText('This one stays').waitFor();
await look(page, 'passkeys-only-one');
assert.equal(await page.getByLabel('Your password').count(), 0);
await page.getByLabel('What you call it').fill('security key');
await press('Go on with a passkey instead of a code');
await page.getByRole('heading', { name: 'Add a passkey' }).waitFor();
// The first one is excluded: another device.
await devices.send('WebAuthn.removeVirtualAuthenticator', { authenticatorId: first });
const second = await device();
await press('Make the passkey');
await page.waitForURL('**/account/passkeys');
await page.getByRole('listitem').nth(1).waitFor();
await look(page, 'passkeys-two-without-password');
await page.getByLabel('Which').selectOption({ label: 'work laptop' });
await page.locator('#removal-code').fill(recovery[0]);
await press('Remove it');
await page.getByText('This one stays').waitFor();
await audited('person.passkey.removed', '');
await logOut();
await logIn();

// An administrator's link: not without what is beside it.
assert.equal(JSON.parse(command('user', 'list', '--json'))[0].own_login, 'passkeys');
const reset = JSON.parse(command('user', 'reset-link', 'admin', '--json')).link;
await page.goto(reset);
await page.getByRole('heading', { name: 'Choose how you log in from now on' }).waitFor();
await look(page, 'link-reset-with-passkey');
await page.getByLabel('What you call it').fill('phone');
await page.getByLabel('Recovery code').fill('0000-0000-0000-0000');
await press('Set up with a passkey');
await page.getByRole('alert').filter({ hasText: 'The code is not right' }).waitFor();
await look(page, 'link-reset-problem');
assert.equal(await page.getByLabel('What you call it').inputValue(), 'phone');
await press('Set up with a new passkey, confirmed with one that you have');
await page.getByRole('heading', { name: 'Add a passkey' }).waitFor();
await devices.send('WebAuthn.removeVirtualAuthenticator', { authenticatorId: second });
await device();
await press('Make the passkey');
await page.waitForURL('**/account');
await audited('person.passkey.set', '"first":false');
await logOut();
await logIn();

// A password beside it.
await page.getByRole('link', { name: 'Choose a password' }).click();
await look(page, 'account-password');
await page.getByLabel('Password', { exact: true }).fill('too short pw');
await page.getByLabel('The same again').fill('something else');
await press('Save it, confirmed with a passkey');
await page.getByRole('alert').filter({ hasText: 'The two passwords are not the same.' }).waitFor();
await look(page, 'account-password-problem');
await page.getByLabel('Password', { exact: true }).fill(password);
await page.getByLabel('The same again').fill(password);
await press('Save it, confirmed with a passkey');
await page.waitForURL('**/account');
assert.equal(await page.getByText('None: you log in with a passkey.').count(), 0);
await audited('person.password.set', '');
await logOut();
await open('/login');
await page.getByLabel('User name').fill('admin');
await page.getByLabel('Password').fill(password);
await page.keyboard.press('Enter');
await page.waitForURL('**/login/code');
await press('Use a passkey');
await page.waitForURL('**/account');

// Where no script runs, no passkey is made, and a password does.
command('user', 'add', 'grace');
const plain = await (await browser.newContext({ javaScriptEnabled: false })).newPage();
await plain.goto(JSON.parse(command('user', 'reset-link', 'grace', '--json')).link);
await plain.getByLabel('What you call it').fill('x');
await plain.getByRole('button', { name: 'Set up with a passkey' }).click();
await plain.getByRole('link', { name: 'Back to where you choose' }).waitFor();
assert.equal(await plain.getByRole('button', { name: 'Make the passkey' }).count(), 0);
await plain.getByRole('link', { name: 'Back to where you choose' }).click();
await plain.getByLabel('Password').fill(password);
await plain.getByLabel('The same again').fill(password);
await plain.getByRole('button', { name: 'Save and log in' }).click();
await plain.waitForURL('**/login/authenticator');
await plain.close();

assert.deepEqual(complaints.filter((text) => /Content.Security.Policy|Refused|integrity/i.test(text)), []);
await browser.close();
console.log(`accounts without a password work, and every page of them is clean; screenshots in ${folder}`);
process.exit(0);
