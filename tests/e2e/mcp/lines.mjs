// A TypeScript client that is told what to do: node lines.mjs v1|v2 URL [KEY]
// Each line in is [method, params, options], each line out {"ok": result} or {"error": {code, message}}.
// v1 is @modelcontextprotocol/sdk, v2 @modelcontextprotocol/client, which asks the server for the newest revision.
import { createInterface } from 'node:readline';

const [which, url, key] = process.argv.slice(2);
const capabilities = { elicitation: { form: {}, url: {} }, sampling: {} };
const samples = { string: 'a text', integer: 3, number: 2.5, boolean: true };
const formats = { email: 'ada@example.org', uri: 'https://example.org/', date: '2026-01-02' };

function sample(schema) {
  if (schema.type === 'array') return [sample(schema.items)];
  const choices = schema.enum ?? (schema.oneOf ?? schema.anyOf ?? []).map((one) => one.const);
  return choices.length ? choices[0] : (formats[schema.format] ?? samples[schema.type ?? 'string']);
}

function elicit({ params }) {
  if (params.mode === 'url') return { action: 'accept' };
  const fields = Object.entries(params.requestedSchema.properties);
  return { action: 'accept', content: Object.fromEntries(fields.map(([n, s]) => [n, s.default ?? sample(s)])) };
}

function repeat({ params }) {
  const text = `heard: ${params.messages.at(-1).content.text}`;
  return { role: 'assistant', content: { type: 'text', text }, model: 'parrot' };
}

const requestInit = key ? { headers: { authorization: `Bearer ${key}` } } : {};

async function first() {
  const { Client } = await import('@modelcontextprotocol/sdk/client/index.js');
  const { StreamableHTTPClientTransport } = await import('@modelcontextprotocol/sdk/client/streamableHttp.js');
  const schemas = await import('@modelcontextprotocol/sdk/types.js');
  const client = new Client({ name: 'lines-v1', version: '1' }, { capabilities });
  client.setRequestHandler(schemas.ElicitRequestSchema, elicit);
  client.setRequestHandler(schemas.CreateMessageRequestSchema, repeat);
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit }));
  return client;
}

async function second() {
  const { Client, StreamableHTTPClientTransport } = await import('@modelcontextprotocol/client');
  const options = { capabilities, versionNegotiation: { mode: 'auto' } };
  const client = new Client({ name: 'lines-v2', version: '1' }, options);
  client.setRequestHandler('elicitation/create', elicit);
  client.setRequestHandler('sampling/createMessage', repeat);
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit }));
  return client;
}

const client = which === 'v1' ? await first() : await second();
const say = (said) => process.stdout.write(`${JSON.stringify(said)}\n`);
say({ ok: { server: client.getServerVersion() } });
for await (const line of createInterface({ input: process.stdin })) {
  const [method, params, options] = JSON.parse(line);
  const more = which === 'v1' && method === 'callTool' ? [undefined, options] : [options];
  try {
    say({ ok: await client[method](params, ...more) });
  } catch (fault) {
    say({ error: { code: fault.code ?? 0, message: fault.message } });
  }
}
await client.close();
