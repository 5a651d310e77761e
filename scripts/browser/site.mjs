// A real broker at a port of its own, and a real Chromium that goes there.
import { spawn } from 'node:child_process';
import { createServer } from 'node:http';
import { chromium } from 'playwright-core';

export const listen = (server, port = 0) => new Promise((resolve) => server.listen(port, '127.0.0.1', () => resolve(server.address().port)));

/** A port that was free a moment ago. */
export async function freePort() {
  const probe = createServer();
  const port = await listen(probe);
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

/**
 * Starts the broker whose settings lie in `state`, and waits until it is ready. Ends with this process.
 *
 * `link` is the one-time link of its banner; `until(what, ask)` asks for up to 30 s; `audited(type, part)` waits for such a line of
 * the audit log on stdout.
 */
export async function started(program, state, url) {
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
  return { link, until, audited };
}

/** A browser with one page; `complaints` are the errors of its console. */
export async function opened(url) {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ['--no-sandbox'] });
  const context = await browser.newContext();
  const page = await context.newPage();
  const complaints = [];
  page.on('console', (message) => { if (message.type() === 'error') complaints.push(message.text()); });
  const open = (path) => page.goto(url + path);
  const press = (name) => page.getByRole('button', { name, exact: true }).click();
  return { browser, context, page, complaints, open, press };
}

/** What virtual authenticators are made with: one that is built in, and knows its person. */
export const options = { protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true };

/** The virtual authenticators of a page (WebAuthn §11): `device()` adds one and gives its id, `held(id)` are its passkeys. */
export async function authenticators(context, page) {
  const devices = await context.newCDPSession(page);
  await devices.send('WebAuthn.enable');
  const device = async () => (await devices.send('WebAuthn.addVirtualAuthenticator', { options })).authenticatorId;
  const held = async (authenticatorId) => (await devices.send('WebAuthn.getCredentials', { authenticatorId })).credentials;
  return { devices, device, held };
}
