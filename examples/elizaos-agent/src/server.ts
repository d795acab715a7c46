// A real ElizaOS server with a model that needs no network. Reads from its environment:
//   PORT (0: a free one), DATA_DIR, AGENTS (names of files in characters/, or paths of others, by commas), MODEL (offline |
//   smollm2), PLUGINS (modules that hold one more plugin each, by commas), ELIZA_SERVER_AUTH_TOKEN, MODEL_LOG (a file that
//   gets a line for each model call; with MODEL_PROMPTS, its prompt too), TEST_ACTIONS (1: actions for tests),
//   PARENT_PIPE (1: ends when standard input ends), SOCKET_TIMEOUT_MS (0: a client may wait for ever).
// Prints one line of JSON, {"ready": {...}}, when it answers.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import bootstrapPlugin from '@elizaos/plugin-bootstrap';
import sqlPlugin from '@elizaos/plugin-sql';
import { AgentServer } from '@elizaos/server';

const env = process.env;
env.SENTRY_DSN ??= 'off'; // else ElizaOS reports errors, with their stacks, to its maker's Sentry
if (env.PARENT_PIPE) process.stdin.on('end', () => process.exit(0)).resume();

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer().once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

const model = env.MODEL === 'smollm2' ? (await import('../smollm2/plugin.ts')).plugin : (await import('./offline-model.ts')).plugin;
const plugins: any[] = [sqlPlugin, bootstrapPlugin, model];
if (env.TEST_ACTIONS) plugins.push((await import('./test-actions.ts')).plugin);
for (const module of (env.PLUGINS ?? '').split(',').filter(Boolean)) plugins.push((await import(module)).default);
const agents = (env.AGENTS ?? 'eliza').split(',').map((name) => {
  const file = name.endsWith('.json') ? name : new URL(`../characters/${name}.json`, import.meta.url);
  return { character: JSON.parse(readFileSync(file, 'utf8')), plugins };
});

const port = Number(env.PORT) || (await freePort());
env.SERVER_PORT = String(port); // for plugins, which cannot ask
const server = new AgentServer();
await server.start({ port, dataDir: env.DATA_DIR ?? './data', agents });
server.server.timeout = Number(env.SOCKET_TIMEOUT_MS ?? 0); // 30 s by default, and an agent that thinks longer is cut off
const health = await fetch(`http://127.0.0.1:${port}/healthz`);
if (!health.ok) throw new Error(`the server does not answer at port ${port}: ${health.status}`);
const listed = server.getAllAgents().map((agent: any) => ({ id: agent.agentId, name: agent.character.name }));
console.log(JSON.stringify({ ready: { port, agents: listed, rss: Math.round(process.memoryUsage().rss / 1e6) } }));
