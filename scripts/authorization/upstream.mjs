// People who log in at another identity provider (node oidc-provider), in a browser.
//
// BROKER_URL   the broker, whose provider `corp` is the one of provider.mjs
import assert from 'node:assert/strict';
import * as oauth from 'oauth4webapi';
import { Person, callback, steps } from './person.mjs';

const issuer = new URL(process.env.BROKER_URL);
const loopback = { [oauth.allowInsecureRequests]: true };
const back = await callback();
const person = await Person.start();
const { page } = person;
const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { ...loopback, algorithm: 'oauth2' }));
const metadata = { client_name: 'upstream', redirect_uris: [back.url], token_endpoint_auth_method: 'none', grant_types: ['authorization_code'] };
const client = await oauth.processDynamicClientRegistrationResponse(await oauth.dynamicClientRegistrationRequest(as, metadata, loopback));

/** Logs in at the provider's own pages, which take any password. */
async function logsInUpstream(name) {
  await page.getByText('Continue with Corp').click();
  await page.getByPlaceholder('Enter any login').fill(name);
  await page.getByPlaceholder('and password').fill('any');
  await page.getByRole('button', { name: 'Sign-in' }).click();
  await page.getByRole('button', { name: 'Continue' }).click();
  await page.waitForURL((url) => url.origin === issuer.origin && url.pathname === '/consent');
}

/** What userinfo tells a client of this person, who has just logged in and consented. */
async function known(name) {
  await person.context.clearCookies();
  const [verifier, state, nonce] = [oauth.generateRandomCodeVerifier(), oauth.generateRandomState(), oauth.generateRandomNonce()];
  const url = new URL(as.authorization_endpoint);
  const challenge = await oauth.calculatePKCECodeChallenge(verifier);
  url.search = new URLSearchParams({ client_id: client.client_id, redirect_uri: back.url, response_type: 'code', scope: 'openid profile public:read', state, nonce, code_challenge: challenge, code_challenge_method: 'S256', resource: `${issuer.origin}/mcp` });
  await page.goto(url.href);
  await logsInUpstream(name);
  await person.press('Allow');
  await page.waitForURL((at) => at.href.startsWith(back.url));
  const answer = oauth.validateAuthResponse(as, client, new URL(page.url()), state);
  const response = await oauth.authorizationCodeGrantRequest(as, client, oauth.None(), answer, back.url, verifier, loopback);
  const tokens = await oauth.processAuthorizationCodeResponse(as, client, response, { expectedNonce: nonce, requireIdToken: true });
  const headers = { authorization: `Bearer ${tokens.access_token}`, 'content-type': 'application/json', accept: 'application/json, text/event-stream' };
  const listed = await fetch(`${issuer.origin}/mcp`, { method: 'POST', headers, body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list', params: {} }) });
  assert.equal(listed.status, 200);
  const { sub } = oauth.getValidatedIdTokenClaims(tokens);
  return oauth.processUserInfoResponse(as, client, sub, await oauth.userInfoRequest(as, client, tokens.access_token, loopback));
}

let ada;
await steps('node oidc-provider', [
  ['a person of the provider gets a token here', async () => {
    ada = await known('ada');
    assert.equal(ada.name, 'ada Example');
    assert.notEqual(ada.sub, 'ada', 'the account is ours, not a name that another provider might have, too');
  }],
  ['the same person is the same account', async () => assert.equal((await known('ada')).sub, ada.sub)],
  ['another person is another account', async () => assert.notEqual((await known('grace')).sub, ada.sub)],
]);
back.close();
await person.close();
