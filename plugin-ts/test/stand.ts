// A gateway that misbehaves as it is told, and an agent's real runtime without a database.
import { AgentRuntime, type IDatabaseAdapter, type Plugin } from '@elizaos/core';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Stand {
  url: string;
  seen: IncomingMessage[];
  close(): Promise<void>;
}

export async function stand(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<Stand> {
  const seen: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    seen.push(request);
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => {
        resolve();
      });
      server.closeAllConnections();
    });
  return { url: `http://127.0.0.1:${port}`, seen, close };
}

export function json(response: ServerResponse, document: unknown, status = 200): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(document));
}

export function runtime(plugins: Plugin[], settings: Record<string, string> = {}): AgentRuntime {
  const nothing = () => Promise.resolve([]);
  const adapter = new Proxy({}, { get: () => nothing }) as unknown as IDatabaseAdapter;
  const character = { name: 'Tester', bio: ['A test.'], settings };
  const made = new AgentRuntime({ character, adapter, settings: {} });
  for (const plugin of plugins) for (const action of plugin.actions ?? []) made.registerAction(action);
  return made;
}
