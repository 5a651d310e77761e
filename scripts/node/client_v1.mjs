// The TypeScript SDK v1: initialize handshake, 2025-11-25 and older.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { walk } from './client_steps.mjs';

await walk('TypeScript SDK v1', async (url, fetch, headers) => {
  const client = new Client({ name: 'outside-v1', version: '1.0.0' });
  await client.connect(new StreamableHTTPClientTransport(url, { fetch, requestInit: { headers } }));
  return client;
});
