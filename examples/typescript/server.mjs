// A server of the TypeScript SDK that takes the broker's tokens, through the SDK's own `requireBearerAuth`.
//
//   node server.mjs http://127.0.0.1:8080 3002             verifies by the broker's keys
//   node server.mjs http://127.0.0.1:8080 3002 < key       with INTROSPECT=1 asks the broker about each token
//
// The broker is told about it once: broker server add todo http://127.0.0.1:3002/mcp --scope todo:read
import { readFileSync } from 'node:fs';
import { createMcpExpressApp, mcpAuthMetadataRouter, requireBearerAuth } from '@modelcontextprotocol/express';
import { toNodeHandler } from '@modelcontextprotocol/node';
import { McpServer, OAuthError, OAuthErrorCode, createMcpHandler, getOAuthProtectedResourceMetadataUrl } from '@modelcontextprotocol/server';
import { createRemoteJWKSet, jwtVerify } from 'jose';

const [broker, port] = process.argv.slice(2);
const resource = new URL(`http://127.0.0.1:${port}/mcp`);
const refused = () => new OAuthError(OAuthErrorCode.InvalidToken, 'the token is not valid here');

// By the broker's keys. `audience` is what keeps tokens of other servers out.
const keys = createRemoteJWKSet(new URL('/.well-known/jwks.json', broker));
const byKeys = {
  async verifyAccessToken(token) {
    const verified = await jwtVerify(token, keys, { issuer: broker, audience: resource.href, typ: 'at+jwt', algorithms: ['ES256'] }).catch(() => { throw refused(); });
    return read(token, verified.payload);
  },
};

// By asking (RFC 7662), with the key that `broker server key add todo` printed: a revoked token ends at once.
const byAsking = (key) => ({
  async verifyAccessToken(token) {
    const answer = await fetch(new URL('/introspect', broker), { method: 'POST', headers: { authorization: `Bearer ${key}` }, body: new URLSearchParams({ token }) });
    const claims = await answer.json();
    if (!answer.ok || claims.active !== true || claims.aud !== resource.href) throw refused();
    return read(token, claims);
  },
});

const read = (token, claims) => ({ token, clientId: claims.client_id, scopes: (claims.scope ?? '').split(' '), expiresAt: claims.exp, extra: { sub: claims.sub } });

const handler = createMcpHandler(() => {
  const server = new McpServer({ name: 'todo', version: '1.0.0' });
  server.registerTool('whoami', { description: 'Says who calls' }, async (context) => ({ content: [{ type: 'text', text: String(context?.http?.authInfo?.extra?.sub) }] }));
  server.registerTool('clear', { description: 'Clears the list' }, async () => ({ content: [{ type: 'text', text: 'cleared' }] }));
  return server;
});
const mcp = toNodeHandler(handler);
const oauthMetadata = await (await fetch(new URL('/.well-known/oauth-authorization-server', broker))).json();
const app = createMcpExpressApp();

// The three lines: the metadata, the verifier, the guard.
app.use(mcpAuthMetadataRouter({ oauthMetadata, resourceServerUrl: resource }));
const verifier = process.env.INTROSPECT ? byAsking(readFileSync(0, 'utf8').trim()) : byKeys;
app.all('/mcp', requireBearerAuth({ verifier, requiredScopes: ['todo:read'], resourceMetadataUrl: getOAuthProtectedResourceMetadataUrl(resource) }), (req, res) => mcp(req, res, req.body));

app.listen(Number(port), '127.0.0.1', () => console.log(`listening on ${resource}`));
