// A deterministic model for ElizaOS 1.7: no network, no weights. It repeats what it was told, and obeys a few words that
// tests use: !fail (the provider fails), !garbage (what it says cannot be parsed), !ignore, !slow MS, !act NAME text (also after !slow MS),
// !long N (so many letters), !talk WORD (all words so far), !multi NAME text (one step, where the agent works in steps; the
// text may be its parameters in JSON; or lines of !use TOOL {JSON}, one step each, and a !say text for the end), and for elizaos-plugin-doolittle !call TOOL {JSON}, !find words, !analyze task. Asked
// for an object, it gives what `!call` names; told that the arguments were wrong, it makes numbers of texts that hold some.
import { appendFileSync } from 'node:fs';
import { ModelType, type IAgentRuntime, type Plugin } from '@elizaos/core';

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

export function note(kind: string, user: string, prompt: string): void {
  const line = { t: Date.now(), kind, user, ...(process.env.MODEL_PROMPTS && { prompt }) };
  if (process.env.MODEL_LOG) appendFileSync(process.env.MODEL_LOG, JSON.stringify(line) + '\n');
}

/** The last text of the user: the provider RECENT_MESSAGES prints "# Received Message\n<who>: <text>\n\n# Focus your …". */
export function userText(prompt: string): string {
  const found = prompt.match(/# Received Message\s*\n+[^:\n]*:\s*([\s\S]*?)\n+# Focus your response/);
  return (found?.[1] ?? '').trim();
}

/** Text as it may stand in the form that ElizaOS reads. */
export const plain = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

const response = (thought: string, actions: string, text: string): string =>
  `<response><thought>${thought}</thought><actions>${actions}</actions><providers></providers><text>${plain(text)}</text></response>`;

const parameters = (text: string): string => (text.startsWith('{') ? text : JSON.stringify({ text: plain(text) }));

const step = (action: string, text: string): string =>
  `<response><thought>a step</thought><action>${action}</action><parameters>${parameters(text)}</parameters>` +
  `<providers></providers><isFinish>${!action}</isFinish></response>`;

/** The last lines of a user's that say tool by tool what to do, and what to say in the end. */
function scripted(prompt: string): { uses: RegExpMatchArray[]; say: string } {
  const lines = [...prompt.matchAll(/((?:^.*!(?:use|say) .*$\n?)+)/gm)].at(-1)?.[1] ?? '';
  return { uses: [...lines.matchAll(/!use (\S+) (\{.*\})/g)], say: lines.match(/!say (.*)/)?.[1].trim() ?? '' };
}

/** What an agent that works in steps (USE_MULTI_STEP) does next: one action where `!multi` names it, then the end. */
function nextStep(prompt: string): string {
  const script = scripted(prompt);
  if (script.uses.length) {
    const past = (prompt.split('have already been used in this run')[1] ?? '').split('<keys>')[0];
    const use = script.uses[[...past.matchAll(/^\*\*\d+\. [A-Z_]+\*\* - /gm)].length];
    return use ? step('CALL_AGENT', `{"tool": "${use[1]}", "arguments": ${use[2]}}`) : step('', '');
  }
  const asked = [...prompt.matchAll(/!multi\s+([A-Z_]+)([^\n]*)/g)].at(-1);
  const done = (prompt.split('have already been used in this run')[1] ?? '').split('<keys>')[0];
  return asked && !done.includes(asked[1]) ? step(asked[1], asked[2].trim()) : step('', '');
}

function answer(user: string, prompt: string): string {
  if (prompt.startsWith('<task>\nSummarize what')) {
    return response('sum up', '', scripted(prompt).say || 'Step by step, it is done.');
  }
  if (user.startsWith('!fail')) throw new Error('offline model: the provider is out');
  if (user.startsWith('!garbage')) return 'this is not xml';
  if (user.startsWith('!ignore')) return response('not for me', 'IGNORE', '');
  const act = user.match(/^(?:!slow\s+\d+\s+)?!act\s+([A-Z_,]+)\s*([\s\S]*)$/);
  if (act) return response(`run ${act[1]}`, act[1], `Running ${act[1]} for you.`);
  if (user.startsWith('!call ')) return response('call it', 'CALL_AGENT', 'I call it.');
  if (user.startsWith('!analyze ')) return response('engage it', 'PYTHON_ANALYZE', 'I engage it.');
  if (user.startsWith('!find ')) return response('look for it', 'FIND_AGENT', 'I look for it.');
  const long = user.match(/^!long\s+(\d+)/);
  if (long) return response('at length', 'REPLY', 'x'.repeat(Number(long[1])));
  if (user.startsWith('!talk')) {
    const told = prompt.split('# Received Message')[0].matchAll(/: !talk (\S+)/g);
    return response('recall', 'REPLY', [...told].map((found) => found[1]).join(' '));
  }
  return response('say it again', 'REPLY', `You said: ${user}`);
}

async function text(_runtime: IAgentRuntime, params: any): Promise<any> {
  const prompt: string = params.prompt ?? '';
  const user = userText(prompt);
  note(params.stream ? 'large-stream' : 'large', user, prompt);
  const slow = user.match(/^!slow\s+(\d+)/) ?? (user ? null : prompt.match(/!slow\s+(\d+)\s+!multi/));
  if (slow) await sleep(Number(slow[1]));
  if (slow) note('woke', user, '');
  if (prompt.startsWith('<task>\nDetermine the next step')) return nextStep(prompt);
  const said = answer(user, prompt);
  if (!params.stream) return said;
  async function* pieces() {
    const size = Math.max(12, Math.ceil(said.length / 500));
    for (let at = 0; at < said.length; at += size) yield said.slice(at, at + size);
  }
  return {
    textStream: pieces(),
    text: Promise.resolve(said),
    usage: Promise.resolve(undefined),
    finishReason: Promise.resolve('stop'),
  };
}

async function small(_runtime: IAgentRuntime, params: any): Promise<string> {
  note('small', '', params.prompt ?? '');
  if (!/RESPOND\b/.test(params.prompt ?? '')) return 'ok';
  return '<response><name>x</name><reasoning>ok</reasoning><action>RESPOND</action></response>';
}

/** The tool and the arguments that `!call` names in a prompt. */
async function object(_runtime: IAgentRuntime, params: any): Promise<Record<string, unknown>> {
  const prompt: string = params.prompt ?? '';
  const call = prompt.match(/!call\s+(\S+)[^\S\n]*([^\n]*)/);
  note('object', call?.[0] ?? '', prompt);
  if (!call) return {};
  const given = Object.entries(JSON.parse(call[2] || '{}'));
  const number = (value: unknown) => (typeof value === 'string' && value.trim() && !isNaN(+value) ? +value : value);
  const mended = given.map(([name, value]) => [name, number(value)]);
  return { tool: call[1], arguments: Object.fromEntries(prompt.includes('# What was wrong') ? mended : given) };
}

export async function embedding(_runtime: IAgentRuntime, params: any): Promise<number[]> {
  const said = typeof params === 'string' ? params : (params?.text ?? '');
  const vector = new Array(384).fill(0);
  for (let i = 0; i < said.length; i++) vector[(said.charCodeAt(i) * 31 + i) % 384] += 1;
  const length = Math.hypot(...vector) || 1;
  return vector.map((x) => x / length);
}

export const plugin: Plugin = {
  name: 'offline-model',
  description: 'A deterministic model that needs no network',
  priority: 100,
  models: {
    [ModelType.TEXT_LARGE]: text,
    [ModelType.TEXT_SMALL]: small,
    [ModelType.TEXT_EMBEDDING]: embedding,
    [ModelType.OBJECT_SMALL]: object,
    [ModelType.OBJECT_LARGE]: async () => ({}),
  } as any,
};
