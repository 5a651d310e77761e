// node oidc-provider with its in-memory store: the peer of scripts/bench/oauth. ES256, client credentials, introspection.
import { generateKeyPair, exportJWK } from 'jose';
import Provider from 'oidc-provider';

const [secret, resource] = process.argv.slice(2);
const { privateKey } = await generateKeyPair('ES256', { extractable: true });
const jwk = { ...(await exportJWK(privateKey)), kid: 'bench', alg: 'ES256', use: 'sig' };
const client = (client_id) => ({
  client_id,
  client_secret: secret,
  grant_types: ['client_credentials'],
  redirect_uris: [],
  response_types: [],
  token_endpoint_auth_method: 'client_secret_basic',
  id_token_signed_response_alg: 'ES256',
});
let provider;
const server = (await import('node:http')).createServer((request, response) => provider.callback()(request, response));
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const resourceInfo = (format) => ({
    scope: 'graph:read',
    accessTokenFormat: format,
    accessTokenTTL: 3600,
    ...(format === 'jwt' ? { jwt: { sign: { alg: 'ES256' } } } : {}),
  });
  provider = new Provider(issuer, {
    jwks: { keys: [jwk] },
    clients: [client('bench'), client('opaque')],
    scopes: ['graph:read'],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      introspection: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => resource,
        // A JWT cannot be looked up in its in-memory store: what is introspected there is opaque.
        getResourceServerInfo: (_context, _resource, asking) => resourceInfo(asking.clientId === 'opaque' ? 'opaque' : 'jwt'),
      },
    },
  });
  const callback = provider.callback();
  provider.callback = () => callback;
  console.log(issuer);
});
