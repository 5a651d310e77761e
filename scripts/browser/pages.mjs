// Walks through every page in Chromium as a person would. Fails on the first thing that is not as it should be.
import { createHmac } from 'node:crypto';
import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';
import { look as inEveryLook } from './looks.mjs';

const at = JSON.parse(process.argv[2]);
const folder = process.env.SCREENSHOTS;
const password = 'correct horse battery staple';

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ['--no-sandbox'] });
const context = await browser.newContext();
const page = await context.newPage();
const complaints = [];
page.on('console', (message) => { if (message.type() === 'error') complaints.push(message.text()); });
// What leaves for the client's host stays here.
await context.route('https://claude.ai/**', (route) => route.fulfill({ body: 'the client has it' }));

// What docs/connect shows of us.
const images = process.env.IMAGES;
const shown = ['login', 'consent-loopback', 'consent-host', 'consent-scheme', 'return', 'account', 'error'];

async function portray(name) {
  await page.emulateMedia({ colorScheme: 'light' });
  await page.setViewportSize({ width: 640, height: 480 });
  await page.screenshot({ path: `${images}/${name}.png`, fullPage: true });
}

async function look(name) {
  if (images && shown.includes(name)) await portray(name);
  await inEveryLook(page, name);
}

const open = (path) => page.goto(at.url + path);
const press = (name) => page.getByRole('button', { name, exact: true }).click();
const heading = () => page.getByRole('heading', { level: 1 }).innerText();
async function logIn() {
  await page.getByText('Log in with a password').click();
  await page.getByLabel('User name').fill('admin');
  await page.getByLabel('Password').fill(password);
}

/** What an app with this secret shows at the server's time (RFC 6238): by other code than the server's. */
let now = at.now;
function code(groups) {
  const bits = [...groups.replaceAll(' ', '')].map((c) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(c).toString(2).padStart(5, '0')).join('');
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(now / 30)));
  const tag = createHmac('sha1', key).update(counter).digest();
  const number = tag.readUInt32BE(tag[19] & 15) & 0x7fffffff;
  return String(number % 1_000_000).padStart(6, '0');
}
async function aMinuteLater() {
  await page.request.get(`${at.url}/a-minute-later`);
  now += 60;
}

// The one-time link.
await open(at.link);
await look('link');
await page.getByLabel('Password').fill('too short pw');
await page.getByLabel('The same again').fill('something else');
await press('Save and log in');
await page.getByRole('alert').waitFor();
await look('link-problem');
await page.getByLabel('Password').fill(password);
await page.getByLabel('The same again').fill(password);
await press('Save and log in');
await page.waitForURL('**/account');
await look('account-empty');
await press('Log out');
await page.getByText('You are logged out').waitFor();
await look('logged-out');

// A client on this computer: log in on the way, be warned, allow. The form leads to another origin (N107).
await open(`/login?request=${at.loopback}`);
await look('login');
await logIn();
await page.getByLabel('Password').fill('not the password');
await page.keyboard.press('Enter');
await page.getByRole('alert').waitFor();
await look('login-problem');
await page.getByLabel('Password').fill(password);
await page.keyboard.press('Enter');
await page.waitForURL('**/consent**');
await look('consent-loopback');
await press('Allow');
await page.waitForURL(`${at.client}?**`);
assert.match(page.url(), /code=/);

// A host: asked once, then led back by a page, also straight from the login form.
await open(`/consent?request=${at.host}`);
await look('consent-host');
await press('Allow');
await page.waitForURL('https://claude.ai/**');
await open('/logout');
await look('logout');
await press('Log out');
await page.getByText('You are logged out').waitFor();
await open(`/login?request=${at.host_again}`);
await logIn();
await page.keyboard.press('Enter');
await page.waitForURL('https://claude.ai/**');
assert.match(page.url(), /code=/);

// A step-up shows what is new; no is told to the client.
await open(`/consent?request=${at.step_up}`);
await look('consent-step-up');
await press('Allow');
await page.waitForURL('https://claude.ai/**');
await open(`/consent?request=${at.denied}`);
await press('Cancel');
await page.waitForURL(`${at.client}?**`);
assert.match(page.url(), /error=access_denied/);

// What was allowed, and that it can be taken back.
await open('/account');
await look('account');
const rows = page.getByRole('button', { name: /^Withdraw/ });
assert.equal(await rows.count(), 1);
await rows.first().click();
await page.getByText('Nothing yet.').waitFor();
assert.equal(await rows.count(), 0);
await open(`/consent?request=${at.denied}`);
assert.equal(await heading(), 'This request is over');
await look('error');
await open('/account');
await press('Log out everywhere');
await page.getByText('You are logged out').waitFor();

// An authenticator app: set up from what the page shows as text, asked for at the next log-in, lost.
await open('/login');
await logIn();
await page.keyboard.press('Enter');
await page.waitForURL('**/account');
await page.getByRole('link', { name: 'Set up an authenticator app' }).click();
await page.getByRole('img', { name: /QR code/ }).waitFor();
await look('authenticator');
const secret = await page.locator('code.secret').innerText();
assert.match(await page.getByRole('link', { name: 'open it in the app' }).getAttribute('href'), /^otpauth:\/\/totp\//);
await page.getByLabel('Your password').fill(password);
await page.getByLabel('Code of the app').fill('000000');
await press('Set it up');
await page.getByRole('alert').waitFor();
await look('authenticator-problem');
assert.equal(await page.locator('code.secret').innerText(), secret);
await page.getByLabel('Your password').fill(password);
await page.getByLabel('Code of the app').fill(code(secret));
await press('Set it up');
await page.getByRole('heading', { name: 'Keep these codes' }).waitFor();
await look('recovery-codes');
const recovery = await page.getByRole('list', { name: 'Recovery codes' }).getByRole('listitem').allInnerTexts();
assert.equal(new Set(recovery).size, 10);
await page.getByRole('link', { name: 'I have kept them' }).click();
await page.waitForURL('**/account/authenticator');
await look('account-authenticator');
await page.getByRole('link', { name: 'Back to your account' }).click();
await look('account-with-authenticator');
await press('Log out');
await aMinuteLater();
await open('/login');
await logIn();
await page.keyboard.press('Enter');
await page.waitForURL('**/login/code');
await look('second-step');
assert.equal(await page.evaluate(() => document.activeElement.id), 'code');
await page.keyboard.type('000000');
await page.keyboard.press('Enter');
await page.getByRole('alert').waitFor();
await look('second-step-problem');
await page.getByLabel('Code', { exact: true }).fill(code(secret));
await page.keyboard.press('Enter');
await page.waitForURL('**/account');
await press('Log out');
await open('/login');
await logIn();
await page.keyboard.press('Enter');
await page.getByText('Use a recovery code').click();
await page.getByLabel('Recovery code').fill(recovery[0]);
await look('second-step-recovery');
await press('Log in with it');
await page.waitForURL('**/account');
await page.getByText('9 recovery codes left').waitFor();
await page.getByRole('link', { name: 'Change your authenticator app' }).click();
await page.getByLabel('Your password').last().fill(password);
await page.getByLabel('Code of the app, or a recovery code').last().fill(recovery[1]);
await press('Remove this app');
await page.getByRole('heading', { name: 'Set up an authenticator app' }).waitFor();
await open('/account');
await press('Log out');

// The keyboard alone.
await open('/login');
await page.keyboard.press('Tab');
assert.equal(await page.evaluate(() => document.activeElement.textContent.trim()), 'Continue with Contoso');

// A scheme of an app: a page with a link, because no browser may be relied on to follow. Last, because headless
// Chromium sends no form of this tab once it has met a scheme that it cannot open.
await open(`/login?request=${at.scheme}`);
await logIn();
await page.keyboard.press('Enter');
await page.waitForURL('**/consent**');
await look('consent-scheme');
await press('Allow');
await page.getByRole('heading', { name: 'Done' }).waitFor();
assert.match(await page.getByRole('link', { name: /Go back/ }).getAttribute('href'), /^cursor:.*code=/);
await look('return');

// A client's server that leads on to its app: Chromium counts each hop for the target of the form (N107). In a window of
// its own, for the same reason.
const other = await (await browser.newContext()).newPage();
other.on('console', (message) => { if (message.type() === 'error') complaints.push(message.text()); });
await other.goto(`${at.url}/login?request=${at.hop}`);
await other.getByText('Log in with a password').click();
await other.getByLabel('User name').fill('admin');
await other.getByLabel('Password').fill(password);
await other.keyboard.press('Enter');
await other.waitForURL('**/consent**');
const led = other.waitForResponse((response) => new URL(response.url()).pathname === '/hop');
const on = other.waitForEvent('requestfailed', (request) => request.url().startsWith('claude:'));
await other.getByRole('button', { name: 'Allow', exact: true }).click();
assert.match((await led).url(), /code=/);
await on; // nobody here opens it

const refused = complaints.filter((text) => /Content.Security.Policy|Refused/i.test(text));
assert.deepEqual(refused, []);
await browser.close();
console.log(`every page works and is clean; screenshots in ${folder}`);
