// For `python -m bench.eliza`: calls the agent's runtime in its own server, and tells the milliseconds of each call.
const user = crypto.randomUUID();

async function run(runtime: any, room: string, message: string): Promise<number> {
  const began = performance.now();
  const place = { entityId: user, roomId: room, worldId: runtime.agentId, channelId: room, source: 'bench', type: 'API' };
  if (!known.has(room)) await runtime.ensureConnection({ ...place, userName: 'bench' });
  known.add(room);
  const content = { text: message, source: 'bench', channelType: 'API' };
  const memory = { id: crypto.randomUUID(), entityId: user, agentId: runtime.agentId, roomId: room, createdAt: Date.now(), content };
  let heard = '';
  const callback = async (said: any) => {
    heard = said.text;
    return [];
  };
  await runtime.messageService.handleMessage(runtime, memory, callback, { onStreamChunk: async () => undefined });
  if (heard !== `You said: ${message}`) throw new Error(`heard: ${heard}`);
  return performance.now() - began;
}

const known = new Set<string>();

export default {
  name: 'bench',
  description: 'Calls the runtime directly',
  routes: [
    {
      type: 'POST',
      path: '/run',
      handler: async (request: any, response: any, runtime: any) => {
        const { messages, room } = request.body;
        const times: number[] = [];
        for (const message of messages) times.push(await run(runtime, room || crypto.randomUUID(), message));
        response.json(times);
      },
    },
  ],
};
