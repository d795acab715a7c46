// SmolLM2-135M-Instruct behind an OpenAI-compatible API on loopback: chat completions, streamed or whole, one answer at a time.
// It is too small to choose tools, so those of a request are not shown to it. `node serve.ts` prints {"ready": {"url": …}}.
import { readdirSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { getLlama, LlamaChatSession } from 'node-llama-cpp';

const weights = new URL('./weights/', import.meta.url).pathname;
const file = readdirSync(weights, { recursive: true, encoding: 'utf8' }).find((name) => name.endsWith('.gguf'));
if (!file) throw new Error('the weights of SmolLM2 are not installed: make run MODEL=smollm2 installs them');
const llama = await getLlama({ build: 'never', gpu: false });
const model = await llama.loadModel({ modelPath: weights + file });
const context = await model.createContext({ contextSize: 2048, threads: 2 });
const sequence = context.getSequence();
let turn: Promise<unknown> = Promise.resolve();

const LONGEST = 3000;
const SYSTEM = 'You are a helpful assistant. Answer in one short sentence.';

const text = (content: any): string =>
  typeof content === 'string' ? content : (content ?? []).map((part: any) => part.text ?? '').join(' ');

async function answer(said: any, write: (piece: string) => void): Promise<string> {
  const users = said.messages.filter((message: any) => message.role === 'user');
  const asked = text(users.at(-1)?.content).split('\n\n# Context')[0].slice(0, LONGEST);
  const session = new LlamaChatSession({ contextSequence: sequence, systemPrompt: SYSTEM });
  try {
    return (await session.prompt(asked, { maxTokens: 96, temperature: 0, onTextChunk: write })).trim();
  } finally {
    session.dispose({ disposeSequence: false });
    await sequence.clearHistory();
  }
}

async function completions(said: any, response: ServerResponse): Promise<void> {
  const frame = (object: string, choice: any) => ({ id: 'chatcmpl-1', created: 1, model: said.model, object, choices: [choice] });
  if (!said.stream) {
    const message = { role: 'assistant', content: await answer(said, () => undefined) };
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(frame('chat.completion', { index: 0, message, finish_reason: 'stop' })));
    return;
  }
  response.setHeader('content-type', 'text/event-stream');
  const send = (delta: any, finish: string | null = null) => {
    const chunk = frame('chat.completion.chunk', { index: 0, delta, finish_reason: finish });
    response.write(`data: ${JSON.stringify(chunk)}\n\n`);
  };
  send({ role: 'assistant', content: '' });
  await answer(said, (content) => send({ content }));
  send({}, 'stop');
  response.end('data: [DONE]\n\n');
}

const server = createServer((request: IncomingMessage, response: ServerResponse) => {
  let body = '';
  request.on('data', (piece) => (body += piece));
  request.on('end', () => {
    if (!request.url?.endsWith('/chat/completions')) {
      response.end(JSON.stringify({ object: 'list', data: [{ id: 'smollm2', object: 'model' }] }));
      return;
    }
    turn = turn
      .then(() => completions(JSON.parse(body), response))
      .catch((fault) => response.headersSent || response.writeHead(500).end(JSON.stringify({ error: { message: String(fault) } })));
  });
});
server.listen(Number(process.env.PORT ?? 0), '127.0.0.1', () => {
  const { port } = server.address() as { port: number };
  console.log(JSON.stringify({ ready: { url: `http://127.0.0.1:${port}/v1` } }));
});
process.stdin.on('end', () => process.exit(0)).resume();
