// SmolLM2-135M-Instruct as the model of the example agent: real weights, no network, one answer at a time.
// It is asked to speak by the character's name, and the answer is put into the form that ElizaOS reads: a model of this size
// does not keep to that form by itself.
import { readdirSync } from 'node:fs';
import { ModelType, type IAgentRuntime, type Plugin } from '@elizaos/core';
import { getLlama, LlamaChatSession } from 'node-llama-cpp';
import { embedding, plain, userText } from '../src/offline-model.ts';

const weights = new URL('./weights/', import.meta.url).pathname;
const file = readdirSync(weights, { recursive: true, encoding: 'utf8' }).find((name) => name.endsWith('.gguf'));
if (!file) throw new Error('the weights of SmolLM2 are not installed: make run MODEL=smollm2 installs them');
const llama = await getLlama({ build: 'never', gpu: false });
const model = await llama.loadModel({ modelPath: weights + file });
const context = await model.createContext({ contextSize: 2048, threads: 2 });
const sequence = context.getSequence();
let turn: Promise<unknown> = Promise.resolve();

async function say(systemPrompt: string, user: string): Promise<string> {
  const session = new LlamaChatSession({ contextSequence: sequence, systemPrompt });
  try {
    return (await session.prompt(user, { maxTokens: 96, temperature: 0 })).trim();
  } finally {
    session.dispose({ disposeSequence: false });
    await sequence.clearHistory();
  }
}

/** Plain and short: with a character's own prompt it wanders off (it named no capital of France, in French). */
const system = (name?: string) => `You are ${name ?? 'Eliza'}, a helpful assistant. Answer in one short sentence.`;

async function text(runtime: IAgentRuntime, params: any): Promise<any> {
  const answer = turn.then(() => say(system(runtime.character.name), userText(params.prompt ?? '')));
  turn = answer.catch(() => undefined);
  const said = `<response><thought>answer</thought><actions>REPLY</actions><providers></providers><text>${plain(await answer)}</text></response>`;
  if (!params.stream) return said;
  async function* whole() {
    yield said;
  }
  return { textStream: whole(), text: Promise.resolve(said), usage: Promise.resolve(undefined), finishReason: Promise.resolve('stop') };
}

const small = async (_runtime: IAgentRuntime, params: any): Promise<string> =>
  /RESPOND\b/.test(params.prompt ?? '')
    ? '<response><name>x</name><reasoning>ok</reasoning><action>RESPOND</action></response>'
    : 'ok';

export const plugin: Plugin = {
  name: 'smollm2',
  description: 'SmolLM2-135M-Instruct by node-llama-cpp',
  priority: 100,
  models: {
    [ModelType.TEXT_LARGE]: text,
    [ModelType.TEXT_SMALL]: small,
    [ModelType.TEXT_EMBEDDING]: embedding,
    [ModelType.OBJECT_SMALL]: async () => ({}),
    [ModelType.OBJECT_LARGE]: async () => ({}),
  } as any,
};
