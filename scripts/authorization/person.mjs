// A person with a browser: chooses a password, logs in, reads the consent page and answers it.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { chromium } from 'playwright-core';

const password = 'correct horse battery staple';

export class Person {
  static async start() {
    const person = new Person();
    person.browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ['--no-sandbox'] });
    person.context = await person.browser.newContext();
    person.page = await person.context.newPage();
    return person;
  }

  /** The one-time link of the first administrator. */
  async choosesPassword(link) {
    await this.page.goto(link);
    await this.page.getByLabel('Password').fill(password);
    await this.page.getByLabel('The same again').fill(password);
    await this.press('Save and log in');
    await this.page.waitForURL('**/account');
    // So that the walk begins where a person begins: logged out.
    await this.context.clearCookies();
  }

  press(name) {
    return this.page.getByRole('button', { name, exact: true }).click();
  }

  async logsIn() {
    const folded = this.page.getByText('Log in with a password');
    if (await folded.count()) await folded.click();
    await this.page.getByLabel('User name').fill('admin');
    await this.page.getByLabel('Password').fill(password);
    await this.page.keyboard.press('Enter');
    await this.page.waitForURL((url) => url.pathname !== '/login');
  }

  /** Opens an authorization URL and goes to the consent page, by the log-in page where nobody is logged in. */
  async asked(url) {
    await this.page.goto(String(url));
    if (new URL(this.page.url()).pathname === '/login') await this.logsIn();
    assert.equal(new URL(this.page.url()).pathname, '/consent', await this.page.innerText('body'));
    return this.page.innerText('main');
  }

  /** Answers the consent page; gives the URL at the client that the browser was sent to. */
  async answers(url, button, client) {
    await this.asked(url);
    await this.press(button);
    await this.page.waitForURL((at) => at.href.startsWith(client));
    return new URL(this.page.url());
  }

  close() {
    return this.browser.close();
  }
}

/** Where a native client waits for its answer; RFC 8252 §7.3. */
export function callback() {
  const server = createServer((_, reply) => reply.end('The client has it.'));
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => {
    const url = `http://127.0.0.1:${server.address().port}/callback`;
    resolve({ url, close: () => { server.closeAllConnections(); server.close(); } });
  }));
}

/** A host that publishes a client's metadata document, by TLS_CERT and TLS_KEY, which the broker trusts. */
export function publisher(metadata) {
  const server = createTlsServer({ cert: readFileSync(process.env.TLS_CERT), key: readFileSync(process.env.TLS_KEY) });
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => {
    const url = `https://localhost:${server.address().port}/client.json`;
    server.on('request', (_, reply) => reply.setHeader('content-type', 'application/json').end(JSON.stringify({ client_id: url, ...metadata })));
    resolve({ url, close: () => { server.closeAllConnections(); server.close(); } });
  }));
}

/** One line for each step; the first that fails ends everything. */
export async function steps(title, all) {
  for (const [name, step] of all) {
    try {
      await step();
      console.log(`ok   ${title}: ${name}`);
    } catch (error) {
      console.log(`FAIL ${title}: ${name}\n     ${error.stack}${error.cause ? `\n     ${JSON.stringify(error.cause)}` : ''}`);
      process.exit(1);
    }
  }
}
