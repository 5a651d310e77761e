// oauth4webapi through what needs no browser redirect and no shared secret: pushed requests, DPoP with nonces, a device.
//
// BROKER_URL     the issuer; `resource_server.dpop` and `dpop_nonce` are on, and `terminal` is a client with device_code
// BROKER_LINK    the one-time link of the first administrator
// CLIENT_SECRET  of the registered client `oracle`
import assert from 'node:assert/strict';
import * as oauth from 'oauth4webapi';
import { Person, callback, steps } from './person.mjs';

const issuer = new URL(process.env.BROKER_URL);
const resource = new URL('/mcp', issuer);
const loopback = { [oauth.allowInsecureRequests]: true };
const person = await Person.start();
const back = await callback();
const none = oauth.None();
let as, client, key, tokens;

/** Sends once more where the server wants a nonce, as every client has to; says whether it did. */
async function again(request, read) {
  try {
    return { asked: false, value: await read(await request()) };
  } catch (error) {
    if (!oauth.isDPoPNonceError(error)) throw error;
    return { asked: true, value: await read(await request()) };
  }
}

const list = () => {
  const headers = new Headers({ 'content-type': 'application/json', accept: 'application/json, text/event-stream' });
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list', params: {} });
  return oauth.protectedResourceRequest(tokens.access_token, 'POST', resource, headers, body, { ...loopback, DPoP: key });
};

await person.choosesPassword(process.env.BROKER_LINK);
await steps('bound', [
  ['metadata lists what there is', async () => {
    as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { ...loopback, algorithm: 'oauth2' }));
    assert.ok(as.dpop_signing_alg_values_supported.includes('ES256'));
    assert.ok(as.pushed_authorization_request_endpoint && as.device_authorization_endpoint);
    const metadata = { client_name: 'oracle', redirect_uris: [back.url], token_endpoint_auth_method: 'none', grant_types: ['authorization_code', 'refresh_token'] };
    client = await oauth.processDynamicClientRegistrationResponse(await oauth.dynamicClientRegistrationRequest(as, metadata, loopback));
    key = oauth.DPoP(client, await oauth.generateKeyPair('ES256'));
  }],
  ['a request is pushed with a proof, and its code becomes tokens that are bound to the key', async () => {
    const verifier = oauth.generateRandomCodeVerifier();
    const state = oauth.generateRandomState();
    const parameters = new URLSearchParams({
      client_id: client.client_id, redirect_uri: back.url, response_type: 'code', scope: 'public:read', state,
      code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256', resource: resource.href,
    });
    const options = { ...loopback, DPoP: key };
    const pushed = await again(
      () => oauth.pushedAuthorizationRequest(as, client, none, parameters, options),
      (response) => oauth.processPushedAuthorizationResponse(as, client, response),
    );
    assert.ok(pushed.asked, 'the first proof had no nonce');
    const url = new URL(as.authorization_endpoint);
    url.searchParams.set('client_id', client.client_id);
    url.searchParams.set('request_uri', pushed.value.request_uri);
    const at = await person.answers(url, 'Allow', back.url);
    const answer = oauth.validateAuthResponse(as, client, at, state);
    const redeemed = await again(
      () => oauth.authorizationCodeGrantRequest(as, client, none, answer, back.url, verifier, options),
      (response) => oauth.processAuthorizationCodeResponse(as, client, response),
    );
    tokens = redeemed.value;
    assert.equal(tokens.token_type, 'dpop');
  }],
  ['the token opens the MCP endpoint with a proof, and not without', async () => {
    const listed = await again(list, async (response) => response.status);
    assert.equal(listed.value, 200);
    const bare = new Request(resource, { method: 'POST', headers: { authorization: `Bearer ${tokens.access_token}` } });
    assert.equal((await fetch(bare)).status, 401);
  }],
  ['the library reads the bound token as an RFC 9068 and RFC 9449 one', async () => {
    const claims = JSON.parse(atob(tokens.access_token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/')));
    assert.equal(claims.cnf.jkt, await key.calculateThumbprint());
  }],
  ['a refresh token of a public client needs the key', async () => {
    const refreshed = await again(
      () => oauth.refreshTokenGrantRequest(as, client, none, tokens.refresh_token, { ...loopback, DPoP: key }),
      (response) => oauth.processRefreshTokenResponse(as, client, response),
    );
    tokens = refreshed.value;
    const refused = await oauth.refreshTokenGrantRequest(as, client, none, tokens.refresh_token, loopback);
    assert.equal((await refused.json()).error, 'invalid_grant');
  }],
  ['a bound token is introspected with its key', async () => {
    const machine = { client_id: 'oracle' };
    const proof = oauth.ClientSecretBasic(process.env.CLIENT_SECRET);
    const own = oauth.DPoP(machine, await oauth.generateKeyPair('ES256'));
    const parameters = new URLSearchParams({ scope: 'public:read', resource: resource.href });
    const granted = await again(
      () => oauth.clientCredentialsGrantRequest(as, machine, proof, parameters, { ...loopback, DPoP: own }),
      (response) => oauth.processClientCredentialsResponse(as, machine, response),
    );
    const told = await oauth.processIntrospectionResponse(as, machine, await oauth.introspectionRequest(as, machine, proof, granted.value.access_token, loopback));
    assert.equal(told.cnf.jkt, await own.calculateThumbprint());
  }],
  ['a device gets what its person allows', async () => {
    const terminal = { client_id: 'terminal' };
    const parameters = new URLSearchParams({ scope: 'public:read', resource: resource.href });
    const device = await oauth.processDeviceAuthorizationResponse(as, terminal, await oauth.deviceAuthorizationRequest(as, terminal, none, parameters, loopback));
    const poll = () => oauth.deviceCodeGrantRequest(as, terminal, none, device.device_code, loopback);
    await assert.rejects(async () => oauth.processDeviceCodeResponse(as, terminal, await poll()), (error) => error.error === 'authorization_pending');
    await person.page.goto(device.verification_uri);
    if (new URL(person.page.url()).pathname === '/login') await person.logsIn();
    await person.page.getByLabel('Code').fill(device.user_code.toLowerCase());
    await person.press('Go on');
    assert.match(await person.page.innerText('main'), new RegExp(device.user_code));
    await person.press('Allow');
    await person.page.getByText('Your device is connected').first().waitFor();
    await new Promise((resolve) => setTimeout(resolve, (device.interval + 1) * 1000));
    const granted = await oauth.processDeviceCodeResponse(as, terminal, await poll());
    assert.equal(granted.token_type, 'bearer');
    assert.ok(granted.refresh_token);
  }],
]);
back.close();
await person.close();
