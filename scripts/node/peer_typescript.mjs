// The TypeScript SDK v2 as its README guards a server: `requireBearerAuth` in Express, here with a
// verifier by jose (key imported once), one process.
//
//   node peer_typescript.mjs <folder> <issuer> <audience> <scope>
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createMcpExpressApp, requireBearerAuth } from '@modelcontextprotocol/express';
import { toNodeHandler } from '@modelcontextprotocol/node';
import { McpServer, OAuthError, OAuthErrorCode, createMcpHandler } from '@modelcontextprotocol/server';
import { importSPKI, jwtVerify } from 'jose';

const [folder, issuer, audience, scope] = process.argv.slice(2);
const text = readFileSync(join(folder, 'public.md'), 'utf8');
const key = await importSPKI(readFileSync(join(folder, 'key.pem'), 'utf8'), 'RS256');

const verifier = {
  async verifyAccessToken(token) {
    try {
      const { payload } = await jwtVerify(token, key, { issuer, audience, algorithms: ['RS256'] });
      return { token, clientId: payload.client_id, scopes: payload.scope.split(' '), expiresAt: payload.exp };
    } catch {
      throw new OAuthError(OAuthErrorCode.InvalidToken, 'the token does not verify');
    }
  },
};

const handler = createMcpHandler(() => {
  const server = new McpServer({ name: 'peer', version: '1.0.0' });
  server.registerTool('get_public_info', { description: 'Answers the public document' }, async () => ({ content: [{ type: 'text', text }] }));
  return server;
});
const mcp = toNodeHandler(handler);
const app = createMcpExpressApp();
app.all('/mcp', requireBearerAuth({ verifier, requiredScopes: [scope] }), (req, res) => mcp(req, res, req.body));
const server = app.listen(0, '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${server.address().port}/mcp`));
