// The TypeScript SDK v2, held to the 2026-07-28 wire, so that it cannot fall back unseen.
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { walk } from './client_steps.mjs';

await walk('TypeScript SDK v2', async (url, fetch, headers) => {
  const client = new Client({ name: 'outside-v2', version: '1.0.0' }, { versionNegotiation: { mode: { pin: '2026-07-28' } } });
  await client.connect(new StreamableHTTPClientTransport(url, { fetch, requestInit: { headers } }));
  return client;
});
