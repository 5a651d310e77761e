// oauth4webapi, which refuses whatever an RFC does not allow, through every endpoint.
//
// BROKER_URL     the issuer
// BROKER_LINK    the one-time link of the first administrator
// CLIENT_SECRET  of the registered client `oracle`
// TLS_CERT, TLS_KEY  for the host of a metadata document; the broker trusts the certificate
import assert from 'node:assert/strict';
import * as oauth from 'oauth4webapi';
import { Person, callback, publisher, steps } from './person.mjs';

const issuer = new URL(process.env.BROKER_URL);
const resource = new URL('/mcp', issuer);
const loopback = { [oauth.allowInsecureRequests]: true };
const person = await Person.start();
const back = await callback();
const none = oauth.None();
let as, client, tokens;

/** The code flow from the authorization URL to the answer of the token endpoint. */
async function authorize(scope, { button = 'Allow', nonce, proof = none } = {}) {
  const verifier = oauth.generateRandomCodeVerifier();
  const state = oauth.generateRandomState();
  const url = new URL(as.authorization_endpoint);
  const parameters = {
    client_id: client.client_id, redirect_uri: back.url, response_type: 'code', scope, state,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256', resource: resource.href,
  };
  if (nonce) parameters.nonce = nonce;
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  const at = await person.answers(url, button, back.url);
  const answer = oauth.validateAuthResponse(as, client, at, state);
  const options = { ...loopback, additionalParameters: { resource: resource.href } };
  return oauth.authorizationCodeGrantRequest(as, client, proof, answer, back.url, verifier, options);
}

const refresh = (token) => oauth.refreshTokenGrantRequest(as, client, none, token, loopback);

await person.choosesPassword(process.env.BROKER_LINK);
await steps('oauth4webapi', [
  ['both discovery documents are valid and agree', async () => {
    for (const algorithm of ['oauth2', 'oidc']) {
      const response = await oauth.discoveryRequest(issuer, { ...loopback, algorithm });
      const found = await oauth.processDiscoveryResponse(issuer, response);
      assert.deepEqual(found, as ?? found);
      as = found;
    }
  }],
  ['the protected resource names its authorization server', async () => {
    const found = await oauth.processResourceDiscoveryResponse(resource, await oauth.resourceDiscoveryRequest(resource, loopback));
    assert.deepEqual(found.authorization_servers, [as.issuer]);
  }],
  ['a public client registers itself', async () => {
    const metadata = { client_name: 'oracle', redirect_uris: [back.url], token_endpoint_auth_method: 'none', grant_types: ['authorization_code', 'refresh_token'] };
    client = await oauth.processDynamicClientRegistrationResponse(await oauth.dynamicClientRegistrationRequest(as, metadata, loopback));
  }],
  ['a code becomes tokens, and the id_token fits the request', async () => {
    const nonce = oauth.generateRandomNonce();
    const response = await authorize('openid profile offline_access public:read', { nonce });
    tokens = await oauth.processAuthorizationCodeResponse(as, client, response, { expectedNonce: nonce, requireIdToken: true });
    assert.ok(tokens.refresh_token);
    // The signature, too, by the published keys.
    await oauth.validateApplicationLevelSignature(as, response, loopback);
  }],
  ['the access token is an RFC 9068 one for this resource', async () => {
    const request = new Request(resource, { headers: { authorization: `Bearer ${tokens.access_token}` } });
    const claims = await oauth.validateJwtAccessToken(as, request, resource.href, loopback);
    assert.equal(claims.client_id, client.client_id);
    assert.match(claims.scope, /public:read/);
  }],
  ['userinfo is about the same person', async () => {
    const { sub } = oauth.getValidatedIdTokenClaims(tokens);
    await oauth.processUserInfoResponse(as, client, sub, await oauth.userInfoRequest(as, client, tokens.access_token, loopback));
  }],
  ['the token opens the MCP endpoint', async () => {
    const headers = new Headers({ 'content-type': 'application/json', accept: 'application/json, text/event-stream' });
    const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list', params: {} });
    const response = await oauth.protectedResourceRequest(tokens.access_token, 'POST', resource, headers, body, loopback);
    assert.equal(response.status, 200);
  }],
  ['a refresh token is rotated', async () => {
    const next = await oauth.processRefreshTokenResponse(as, client, await refresh(tokens.refresh_token));
    assert.ok(next.refresh_token && next.refresh_token !== tokens.refresh_token);
    tokens = next;
  }],
  ['a no at the consent page is told as RFC 6749 and RFC 9207 say', async () => {
    await assert.rejects(() => authorize('public:read confidential:read', { button: 'Cancel' }), (error) => {
      assert.ok(error instanceof oauth.AuthorizationResponseError, error.stack);
      assert.equal(error.error, 'access_denied');
      return true;
    });
  }],
  ['what is revoked refreshes no more', async () => {
    await oauth.processRevocationResponse(await oauth.revocationRequest(as, client, none, tokens.refresh_token, loopback));
    await assert.rejects(async () => oauth.processRefreshTokenResponse(as, client, await refresh(tokens.refresh_token)), (error) => {
      assert.ok(error instanceof oauth.ResponseBodyError, error.stack);
      assert.equal(error.error, 'invalid_grant');
      return true;
    });
    const request = new Request(resource, { method: 'POST', headers: { authorization: `Bearer ${tokens.access_token}` } });
    assert.equal((await fetch(request)).status, 401);
  }],
  ['a client proves itself by a key of its metadata document (private_key_jwt)', async () => {
    const pair = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify']);
    const published = { ...await crypto.subtle.exportKey('jwk', pair.publicKey), kid: 'k1', alg: 'ES256', use: 'sig' };
    const metadata = { client_name: 'oracle with a key', redirect_uris: [back.url], token_endpoint_auth_method: 'private_key_jwt', token_endpoint_auth_signing_alg: 'ES256', jwks: { keys: [published] }, grant_types: ['authorization_code', 'refresh_token'] };
    const host = await publisher(metadata);
    const registered = client;
    client = { client_id: host.url };
    try {
      const proof = oauth.PrivateKeyJwt({ key: pair.privateKey, kid: 'k1' });
      const granted = await oauth.processAuthorizationCodeResponse(as, client, await authorize('public:read', { proof }));
      assert.equal(granted.scope ?? 'public:read', 'public:read');
      const stranger = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify']);
      for (const wrong of [oauth.PrivateKeyJwt({ key: stranger.privateKey, kid: 'k1' }), none]) {
        const refused = await authorize('public:read', { proof: wrong });
        assert.equal((await refused.json()).error, 'invalid_client', String(refused.status));
      }
    } finally {
      client = registered;
      host.close();
    }
  }],
  ...['ClientSecretBasic', 'ClientSecretPost'].map((method) => [`a machine gets a token by ${method}, and it is introspected`, async () => {
    const machine = { client_id: 'oracle' };
    const proof = oauth[method](process.env.CLIENT_SECRET);
    const parameters = new URLSearchParams({ scope: 'public:read', resource: resource.href });
    const granted = await oauth.processClientCredentialsResponse(as, machine, await oauth.clientCredentialsGrantRequest(as, machine, proof, parameters, loopback));
    const told = await oauth.processIntrospectionResponse(as, machine, await oauth.introspectionRequest(as, machine, proof, granted.access_token, loopback));
    assert.equal(told.active, true);
    assert.equal(told.client_id, 'oracle');
  }]),
  ['an introspection comes signed, for whoever asked', async () => {
    const machine = { client_id: 'oracle' };
    const proof = oauth.ClientSecretBasic(process.env.CLIENT_SECRET);
    const parameters = new URLSearchParams({ scope: 'public:read', resource: resource.href });
    const granted = await oauth.processClientCredentialsResponse(as, machine, await oauth.clientCredentialsGrantRequest(as, machine, proof, parameters, loopback));
    for (const [token, active] of [[granted.access_token, true], ['nothing', false]]) {
      const response = await oauth.introspectionRequest(as, machine, proof, token, { ...loopback, requestJwtResponse: true });
      assert.equal(response.headers.get('content-type'), 'application/token-introspection+jwt');
      const told = await oauth.processIntrospectionResponse(as, machine, response);
      assert.equal(told.active, active);
      await oauth.validateApplicationLevelSignature(as, response, loopback);
    }
  }],
  ['a wrong secret is refused as RFC 6749 §5.2 says', async () => {
    const machine = { client_id: 'oracle' };
    const wrong = oauth.ClientSecretBasic('not the secret');
    const response = await oauth.clientCredentialsGrantRequest(as, machine, wrong, new URLSearchParams(), loopback);
    assert.equal(response.status, 401);
    await assert.rejects(() => oauth.processClientCredentialsResponse(as, machine, response), (error) => {
      // With a challenge (the client used the header), which the library tells before it reads the body.
      assert.ok(error instanceof oauth.WWWAuthenticateChallengeError, error.stack);
      return true;
    });
  }],
]);
back.close();
await person.close();
