// The TypeScript SDK v2 before a server behind the broker, held to the 2026-07-28 wire.
import assert from 'node:assert/strict';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { walk } from './upstream_steps.mjs';

await walk('TypeScript SDK v2', true, async ({ url, fetch, headers, sample, elicit, roots }) => {
  const client = new Client(
    { name: 'outside-v2', version: '1.0.0' },
    { capabilities: { sampling: {}, elicitation: { form: {} }, roots: {} }, versionNegotiation: { mode: { pin: '2026-07-28' } } },
  );
  client.setRequestHandler('sampling/createMessage', sample);
  client.setRequestHandler('elicitation/create', elicit);
  client.setRequestHandler('roots/list', roots);
  await client.connect(new StreamableHTTPClientTransport(url, { fetch, requestInit: { headers } }));
  return {
    list: async () => (await client.listTools()).tools,
    call: (name, args, options) => client.callTool({ name, arguments: args }, options),
    prompt: (name, args) => client.getPrompt({ name, arguments: args }),
    complete: async (ref, argument) => (await client.complete({ ref, argument })).completion.values,
    read: (uri) => client.readResource({ uri }),
    subscribe: async (uri) => {
      const stream = await client.listen({ resourceSubscriptions: [uri], toolsListChanged: true });
      assert.deepEqual(stream.honoredFilter.resourceSubscriptions, [uri]);
      await stream.close();
    },
    close: () => client.close(),
  };
});
