// The TypeScript SDK as a client: node client.mjs URL | node client.mjs COMMAND ARG…
// Lists all tools, calls eliza__ask, and prints what came as one JSON document.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const [target, ...args] = process.argv.slice(2);
const transport = target.startsWith('http')
  ? new StreamableHTTPClientTransport(new URL(target))
  : new StdioClientTransport({ command: target, args, stderr: 'inherit' });
const client = new Client({ name: 'test', version: '1' }, { capabilities: {} });
await client.connect(transport);
const tools = [];
let cursor;
do {
  const page = await client.listTools({ cursor });
  tools.push(...page.tools.map((tool) => tool.name));
  cursor = page.nextCursor;
} while (cursor);
const answer = await client.callTool({ name: 'eliza__ask', arguments: { message: 'from TypeScript' } });
const bad = await client.callTool({ name: 'eliza__ask', arguments: {} });
const unknown = await client.callTool({ name: 'eliza__sing', arguments: {} }).then(
  () => 'no error',
  (error) => error.message,
);
console.log(JSON.stringify({ server: client.getServerVersion(), tools, answer, bad, unknown }));
await client.close();
