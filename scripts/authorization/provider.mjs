// node oidc-provider as the identity provider upstream; prints its issuer. Its development pages ask for any name.
//
// BROKER_URL   the redirect URI is its callback
// PROVIDER_PORT, PROVIDER_SECRET
import Provider from 'oidc-provider';

const { BROKER_URL, PROVIDER_PORT, PROVIDER_SECRET } = process.env;
const issuer = `http://127.0.0.1:${PROVIDER_PORT}`;
const provider = new Provider(issuer, {
  clients: [{ client_id: 'broker', client_secret: PROVIDER_SECRET, redirect_uris: [`${BROKER_URL}/login/callback/corp`] }],
  pkce: { required: () => true },
  claims: { openid: ['sub'], profile: ['name', 'preferred_username'], email: ['email'] },
  conformIdTokenClaims: false,
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, name: `${id} Example`, preferred_username: id, email: `${id}@corp.example` }) }),
});
// The resource is the broker's business: Entra refuses a request that names one. Here nothing would, so it is looked for.
provider.use(async (context, next) => {
  if (context.path === '/auth' && 'resource' in context.query) context.throw(400, 'a resource was forwarded');
  await next();
});
provider.listen(Number(PROVIDER_PORT), '127.0.0.1', () => console.log(issuer));
