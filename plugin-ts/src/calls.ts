// What the actions do.
import { choose, isObject, repaired, Unclear, type Arguments, type Choice } from './choose.ts';
import type { Connection } from './connection.ts';
import { Refusal, sentence } from './faults.ts';
import type { CallEvent, Outcome, Part, Tool } from './gateway.ts';
import type { Said, Turn } from './turn.ts';

const FOUND = 5;
/** Characters of an answer that are kept: it stands in prompts and in the agent's memory. */
const LONGEST = 20_000;

/** CALL_AGENT. Never throws. */
export async function callAgent(connection: Connection, turn: Turn): Promise<Said> {
  return guarded('the other agent', async () => {
    const choice = await choose(connection, turn);
    return guarded(choice.tool.name, () => called(connection, turn, choice), await about(connection, choice.tool));
  });
}

/** FIND_AGENT. Never throws. */
export async function findAgents(connection: Connection, turn: Turn): Promise<Said> {
  return guarded('the search', async () => {
    const asked = turn.params.query ?? turn.params.words;
    const query = typeof asked === 'string' && asked.trim() ? asked.trim() : turn.text;
    const found = (await connection.gateway.search(query)).slice(0, FOUND);
    const tools = found.map(({ name, agent, description }) => ({ name, agent, description }));
    const lines = tools.map((tool) => `- ${tool.name}: ${firstLine(tool.description)}`);
    const none = 'I found no agent for that.';
    const text = lines.length ? `These can help:\n${lines.join('\n')}` : none;
    return { success: true, text, values: { foundTools: tools.map((t) => t.name).join(', ') }, data: { query, tools } };
  });
}

/** Makes the call; where the arguments were not as they must be, once more with the model's better ones. */
async function called(connection: Connection, turn: Turn, choice: Choice): Promise<Said> {
  try {
    return await followed(connection, turn, choice.tool, choice.args);
  } catch (fault) {
    if (!(fault instanceof Refusal && fault.code === 'bad_arguments' && fault.problem.delivered === 'no')) throw fault;
    const args = await repaired(turn, choice, fault.message);
    if (!args) throw fault;
    return followed(connection, turn, choice.tool, args);
  }
}

/** One call to its end, its steps shown as they come. */
export async function followed(connection: Connection, turn: Turn, tool: Tool, args: Arguments): Promise<Said> {
  let callId = '';
  const known = await about(connection, tool);
  const more = { conversation: turn.conversation, hops: turn.hops, ...(turn.signal && { signal: turn.signal }) };
  for await (const event of connection.gateway.call(tool.name, args, more)) {
    callId = event.call;
    if (event.kind === 'result') return answered({ ...known, callId }, event.result);
    if (event.kind === 'ask') {
      const asked = event.requests.map((request) => request.message ?? '').filter(Boolean);
      const text = `${tool.name} asks back, and I cannot answer that from here: ${asked.join(' ') || 'it needs more'}`;
      return { success: false, text, values: {}, data: { ...known, callId, cost: null, toolsUsed: [] } };
    }
    const piece = step(event);
    if (piece) await turn.show(piece);
  }
  throw new Error('the call ended without a result');
}

/** What is shown of an event that is not the last. */
function step(event: CallEvent): string {
  if (event.kind === 'progress') return `${event.message || String(event.done ?? '…')}\n`;
  return event.kind === 'part' && event.content.type === 'text' ? (event.content.text ?? '') : '';
}

function answered(known: Known, result: Outcome): Said {
  const text = shortened(plain(result));
  const structured = isObject(result.structured) ? result.structured : {};
  const toolsUsed = Array.isArray(structured.toolsUsed) ? structured.toolsUsed : [known.tool];
  const data = { ...known, cost: result.cost ?? null, toolsUsed, structured: result.structured };
  return { success: true, text, values: { lastAnswer: text, lastAgent: known.agent }, data };
}

function plain(result: Outcome): string {
  if (result.text) return result.text;
  if (result.structured !== undefined) return JSON.stringify(result.structured);
  return result.content.map(described).filter(Boolean).join('\n') || 'It is done.';
}

function described(part: Part): string {
  if (part.type === 'text') return part.text ?? '';
  return part.type === 'data' ? JSON.stringify(part.value) : `[${part.name ?? part.uri ?? part.mediaType ?? 'a file'}]`;
}

function shortened(text: string): string {
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}… (${text.length} characters in all)` : text;
}

const firstLine = (text: string): string => (text.split('\n')[0] ?? '').slice(0, 200);

interface Known {
  tool: string;
  agent: string;
  network: string;
  callId?: string;
}

async function about(connection: Connection, { name, agent }: Tool): Promise<Known> {
  return { tool: name, agent, network: await connection.network(agent) };
}

/** What `work` gives; a fault of any kind becomes a plain sentence. */
export async function guarded(target: string, work: () => Promise<Said>, known: Known | null = null): Promise<Said> {
  try {
    return await work();
  } catch (fault) {
    const text = fault instanceof Unclear ? fault.message : sentence(fault, target);
    const problem = fault instanceof Refusal ? fault.problem : null;
    const data = { ...known, cost: null, toolsUsed: [], callId: problem?.call ?? '', code: problem?.code ?? (fault as Error).name };
    return { success: false, text, values: {}, data };
  }
}
