// What official clients do with servers of others behind the broker; one line each, exit 1 on the first that fails.
// The client files beside this one bring their SDK's classes and its names for things.
//
//   node upstream_v1.mjs SERVER URL
//
// UPSTREAM_TOKEN       granted use:it
// UPSTREAM_TOKEN_MORE  granted use:it and use:more
import assert from 'node:assert/strict';

// What each server has. `hidden` no rule names, `more` needs use:more.
const SERVERS = {
  everything: {
    call: ['echo', { message: 'hello' }, /hello/],
    hidden: 'get-env',
    more: 'get-tiny-image',
    progress: ['trigger-long-running-operation', { duration: 0.2, steps: 2 }],
    slow: ['trigger-long-running-operation', { duration: 60, steps: 1 }],
    prompt: ['completable-prompt', { department: 'Sales', name: 'Eve' }, /Eve/],
    complete: [{ type: 'ref/prompt', name: 'completable-prompt' }, { name: 'department', value: 'S' }, 'Sales'],
    resource: ['demo://resource/dynamic/text/1', /Text|text/],
    secret: 'demo://resource/static/document/architecture.md',
    subscription: 'toggle-subscriber-updates',
    sampling: ['trigger-sampling-request', { prompt: 'Say it' }, /sampled/],
    elicitation: ['trigger-elicitation-request', {}, /Ada/],
    roots: ['get-roots-list', {}, /workspace/],
  },
  fastmcp: {
    call: ['add', { a: 2, b: 3 }, /5/],
    hidden: 'drop',
    more: 'rename',
    progress: ['count', { to: 2 }],
    slow: ['sleep', {}],
    prompt: ['greet', { name: 'Ada' }, /Ada/],
    resource: ['notes://today', /sunny/],
    secret: 'notes://secret',
    elicitation: ['ask', {}, /Ada/],
    // On the new wire FastMCP has no way to ask.
    modern: { elicitation: undefined },
  },
  // The Python SDK 1.x speaks the old wire alone.
  sdk_v1: {
    call: ['add', { a: 2, b: 3 }, /5/],
    hidden: 'drop',
    more: 'rename',
    progress: ['count', { to: 2 }],
    prompt: ['greet', { name: 'Ada' }, /Ada/],
    resource: ['notes://today', /sunny/],
    secret: 'notes://secret',
    elicitation: ['ask', {}, /Ada/],
  },
  rmcp: {
    call: ['test_simple_text', {}, /simple text/],
    hidden: 'test_error_handling',
    more: 'test_image_content',
    progress: ['test_tool_with_progress', {}],
    prompt: ['test_prompt_with_arguments', { arg1: 'one', arg2: 'two' }, /one/],
    complete: [{ type: 'ref/prompt', name: 'test_prompt_with_arguments' }, { name: 'arg1', value: 'par' }, 'paris'],
    resource: ['test://static-text', /static text/],
    secret: 'test://static-binary',
    sampling: ['test_sampling', { prompt: 'Say it' }, /sampled/],
    elicitation: ['test_elicitation', { message: 'Who?' }, /Ada/],
    // On the new wire the server asks by its result.
    modern: {
      sampling: ['test_input_required_result_sampling', {}, /sampled/],
      elicitation: ['test_input_required_result_elicitation', {}, /Ada/],
    },
  },
};

function watch(refusals) {
  return async (url, init) => {
    const reply = await fetch(url, init);
    if (reply.status >= 400) refusals.push({ status: reply.status, challenge: reply.headers.get('www-authenticate') ?? '' });
    return reply;
  };
}

// `connect({ url, fetch, headers, sample, elicit, roots })` gives { list, call, prompt, complete, read, subscribe, close }.
// `translated`: client and server are of different eras. A server of the new era cannot ask an old client then.
export async function walk(title, modern, connect) {
  const [name, at] = process.argv.slice(2);
  const translated = Boolean(process.env.TRANSLATED);
  const server = { ...SERVERS[name], ...(modern && !translated ? SERVERS[name].modern : {}) };
  const url = new URL(at);
  const behind = url.pathname.split('/')[2];
  const refusals = [];
  const session = (token) => connect({
    url,
    fetch: watch(refusals),
    headers: { Authorization: `Bearer ${process.env[token]}` },
    roots: async () => ({ roots: [{ uri: 'file:///workspace', name: 'workspace' }] }),
    sample: async () => ({ role: 'assistant', model: 'none', content: { type: 'text', text: 'sampled' } }),
    elicit: async () => ({ action: 'accept', content: { name: 'Ada', username: 'Ada', email: 'ada@example.com', check: true } }),
  });
  const client = await session('UPSTREAM_TOKEN');
  const text = (value) => JSON.stringify(value);
  const calls = (what) => async () => {
    const [tool, args, expected] = server[what];
    const result = await client.call(tool, args);
    assert.ok(!result.isError, text(result));
    assert.match(text(result), expected);
  };
  const asks = (what) => async () => {
    const [tool, args, expected] = server[what];
    if (!translated || modern) return calls(what)();
    // Nobody can be asked: the server says so, or does not offer the tool. It never hangs.
    const result = await client.call(tool, args).catch((error) => ({ isError: true, error: error.message }));
    assert.ok(result.isError, text(result));
    assert.doesNotMatch(text(result), expected);
  };
  const steps = {
    list: async () => {
      const names = (await client.list()).map((tool) => tool.name);
      assert.ok(names.includes(server.call[0]), `listed ${names}`);
      for (const absent of [server.hidden, server.more]) assert.ok(!names.includes(absent), `listed ${names}`);
    },
    call: calls('call'),
    hidden: async () => {
      const failed = await client.call(server.hidden, {}).catch((error) => error);
      assert.match(failed.message, /Unknown tool/);
    },
    more: async () => {
      refusals.length = 0;
      await assert.rejects(client.call(server.more, {}));
      const refusal = refusals.find((one) => one.challenge);
      assert.ok(refusal?.status === 403 && /scope="[^"]*use:more/.test(refusal.challenge), text(refusals));
      const granted = await session('UPSTREAM_TOKEN_MORE');
      assert.ok((await granted.list()).some((tool) => tool.name === server.more));
      const result = await granted.call(server.more, {});
      assert.ok(!result.isError, text(result));
      await granted.close();
    },
    progress: async () => {
      const [tool, args] = server.progress;
      const seen = [];
      const result = await client.call(tool, args, { onprogress: (progress) => seen.push(progress.progress) });
      assert.ok(!result.isError && seen.length >= 2, `${text(result)} after ${seen}`);
    },
    slow: async () => {
      const [tool, args] = server.slow;
      const stop = new AbortController();
      const call = client.call(tool, args, { signal: stop.signal });
      setTimeout(() => stop.abort(new Error('stopped')), 300);
      await assert.rejects(call);
      // What runs no longer holds nothing up.
      await calls('call')();
    },
    prompt: async () => {
      const [prompt, args, expected] = server.prompt;
      assert.match(text(await client.prompt(prompt, args)), expected);
    },
    complete: async () => {
      const [ref, argument, expected] = server.complete;
      assert.ok((await client.complete(ref, argument)).includes(expected));
    },
    resource: async () => {
      const [uri, expected] = server.resource;
      assert.match(text(await client.read(uri)), expected);
    },
    secret: () => assert.rejects(client.read(server.secret), /not found/i),
    subscription: async () => {
      const [uri] = server.resource;
      await client.subscribe(uri, () => client.call(server.subscription, {}));
    },
    sampling: asks('sampling'),
    elicitation: asks('elicitation'),
    roots: asks('roots'),
  };
  for (const [step, walked] of Object.entries(steps)) {
    if (!server[step] && step !== 'list') continue;
    try {
      await walked();
      console.log(`ok    ${behind}, ${title}: ${step}`);
    } catch (error) {
      console.log(`FAIL  ${behind}, ${title}: ${step}\n      ${error.stack}`);
      process.exit(1);
    }
  }
  await client.close();
  process.exit(0);
}
