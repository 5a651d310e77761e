// The TypeScript SDK v1 before a server behind the broker: 2025-11-25 and older.
import assert from 'node:assert/strict';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { CreateMessageRequestSchema, ElicitRequestSchema, ListRootsRequestSchema, ResourceUpdatedNotificationSchema } from '@modelcontextprotocol/sdk/types.js';
import { walk } from './upstream_steps.mjs';

await walk('TypeScript SDK v1', false, async ({ url, fetch, headers, sample, elicit, roots }) => {
  const client = new Client({ name: 'outside-v1', version: '1.0.0' }, { capabilities: { sampling: {}, elicitation: { form: {} }, roots: {} } });
  client.setRequestHandler(CreateMessageRequestSchema, sample);
  client.setRequestHandler(ElicitRequestSchema, elicit);
  client.setRequestHandler(ListRootsRequestSchema, roots);
  await client.connect(new StreamableHTTPClientTransport(url, { fetch, requestInit: { headers } }));
  return {
    list: async () => (await client.listTools()).tools,
    call: (name, args, options) => client.callTool({ name, arguments: args }, undefined, options),
    prompt: (name, args) => client.getPrompt({ name, arguments: args }),
    complete: async (ref, argument) => (await client.complete({ ref, argument })).completion.values,
    read: (uri) => client.readResource({ uri }),
    subscribe: async (uri, trigger) => {
      if (!client.getServerCapabilities().resources?.subscribe) {
        await assert.rejects(client.subscribeResource({ uri }));
        return;
      }
      const updated = new Promise((done) => client.setNotificationHandler(ResourceUpdatedNotificationSchema, (note) => done(note.params.uri)));
      await client.subscribeResource({ uri });
      await trigger();
      assert.equal(await updated, uri);
      await client.unsubscribeResource({ uri });
      await trigger();
    },
    close: () => client.close(),
  };
});
