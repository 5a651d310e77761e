// The Rust SDK's own client (examples/rmcp_client.rs) from nothing but a URL to a step-up, its person in a browser. Once as a
// client that registers itself, once with a metadata document.
//
// BROKER_URL    the broker's origin
// BROKER_LINK   the one-time link of the first administrator
// RMCP_CLIENT   the program
// TLS_CERT, TLS_KEY  files for the host of the metadata document; the broker trusts the certificate
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { Person, callback, publisher, steps } from './person.mjs';

const endpoint = new URL('/mcp', process.env.BROKER_URL).href;
const person = await Person.start();
await person.choosesPassword(process.env.BROKER_LINK);
const own = await callback();

/** The program, line by line. */
class Application {
  constructor(document) {
    this.child = spawn(process.env.RMCP_CLIENT, [endpoint, own.url, ...(document ? [document] : [])], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.ended = once(this.child, 'exit');
    this.lines = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]();
  }

  /** What it says next, which must begin like this. */
  async says(word) {
    const { value, done } = await this.lines.next();
    assert.ok(!done && value.split(' ')[0] === word, `${word} and not ${value}`);
    return value.slice(word.length + 1);
  }

  /** It asks for its browser: the person answers there, and it reads where the browser was sent. */
  async isAllowed(client, scope) {
    const wanted = new URL(await this.says('OPEN'));
    assert.equal(wanted.origin, process.env.BROKER_URL);
    assert.equal(wanted.searchParams.get('resource'), endpoint);
    assert.equal(wanted.searchParams.get('code_challenge_method'), 'S256');
    assert.ok(wanted.searchParams.get('scope').split(' ').includes(scope), wanted.href);
    if (client) assert.equal(wanted.searchParams.get('client_id'), client);
    else assert.ok(!wanted.searchParams.get('client_id').startsWith('https:'), wanted.href);
    const answer = await person.answers(wanted, 'Allow', own.url);
    assert.equal(answer.searchParams.get('iss'), process.env.BROKER_URL);
    this.child.stdin.write(`${answer.href}\n`);
  }
}

async function walk(title, document) {
  const application = new Application(document);
  await steps(title, [
    ['is challenged', () => application.says('CHALLENGED')],
    ['has a token when its person logs in and consents', async () => {
      await person.context.clearCookies();
      await application.isAllowed(document, 'public:read');
      await application.says('AUTHORIZED');
    }],
    ['lists and calls what was granted', async () => {
      const tools = (await application.says('LISTED')).split(' ');
      assert.ok(tools.includes('get_public_info') && !tools.includes('get_confidential_info'), tools.join());
    }],
    ['steps up where a scope is missing, and calls again', async () => {
      assert.ok((await application.says('REFUSED')).split(' ').includes('confidential:read'));
      await application.isAllowed(document, 'confidential:read');
      await application.says('DONE');
      assert.deepEqual(await application.ended, [0, null]);
    }],
  ]);
}

await walk('rmcp, registered');

const host = await publisher({
  client_name: 'an application on rmcp', redirect_uris: [own.url], grant_types: ['authorization_code', 'refresh_token'],
  response_types: ['code'], token_endpoint_auth_method: 'none',
});
await walk('rmcp, metadata document', host.url);

own.close();
host.close();
await person.close();
