// Which tool is meant, and with what arguments: from what the model gave with the action, or by asking it.
import type { Connection } from './connection.ts';
import { Refusal } from './faults.ts';
import type { Tool } from './gateway.ts';
import type { Turn } from './turn.ts';

export type Arguments = Record<string, unknown>;

export interface Choice {
  tool: Tool;
  args: Arguments;
}

/** No tool could be told; `text` says so to the user, with what comes near. */
export class Unclear extends Error {}

const NAME = /\b[a-z0-9]+(?:-[a-z0-9]+)*__[A-Za-z0-9_-]+/g;
const CANDIDATES = 6;
const NEAR = 3;
const OWN = new Set(['agent', 'tool', 'name', 'arguments', 'framework']);

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The tool and the arguments of this turn. Throws `Unclear`, and what the gateway throws. */
export async function choose(connection: Connection, turn: Turn): Promise<Choice> {
  const given = named(turn.params);
  if (given) return decided(connection, turn, given.target, given.args);
  const candidates = await mentioned(connection, turn.text);
  for (const tool of await connection.gateway.search(turn.text)) {
    if (candidates.length < CANDIDATES && !candidates.some((c) => c.name === tool.name)) candidates.push(tool);
  }
  const said = named(await turn.think(question(turn.text, candidates)));
  if (said) return decided(connection, turn, said.target, said.args);
  throw new Unclear(`I could not tell which agent to call. ${near(candidates)}`.trim());
}

/** The arguments again, after the gateway found fault with them. Null where the model gives none. */
export async function repaired(turn: Turn, choice: Choice, fault: string): Promise<Arguments | null> {
  const said = await turn.think(`${question(turn.text, [choice.tool])}

# What was wrong
With the arguments ${JSON.stringify(choice.args)} the tool was not called: ${fault}
Answer with corrected arguments.`);
  const args = isObject(said.arguments) ? said.arguments : null;
  return args && JSON.stringify(args) !== JSON.stringify(choice.args) ? args : null;
}

/** What a model named: `{agent, tool, arguments}`, where arguments may stand beside them or be a text. */
function named(params: Arguments): { target: string; args: unknown } | null {
  const [agent, tool] = [text(params.agent), text(params.tool) || text(params.name)];
  const target = tool.includes('__') || !agent ? tool : agent.includes('__') || !tool ? agent : `${agent}__${tool}`;
  if (!target) return null;
  const beside = Object.fromEntries(Object.entries(params).filter(([key]) => !OWN.has(key) && !key.startsWith('_')));
  return { target, args: params.arguments ?? beside };
}

const text = (value: unknown): string => (typeof value === 'string' ? value.trim() : '');

async function decided(connection: Connection, turn: Turn, target: string, args: unknown): Promise<Choice> {
  const tool = await resolved(connection, turn, target);
  return { tool, args: fitted(args, tool) };
}

/** The tool of this name, or the one by which an agent of this name is asked. Throws `Unclear`. */
export async function resolved(connection: Connection, turn: Turn, target: string): Promise<Tool> {
  const { gateway } = connection;
  if (target.includes('__')) {
    const tool = await existing(connection, target);
    if (tool) return tool;
  }
  const low = target.toLowerCase();
  const agents = await connection.listed();
  const agent = agents.find((a) => a.slug === low) ?? agents.find((a) => a.name.toLowerCase() === low);
  if (agent) {
    const only = agent.tools.find((name) => name.endsWith('__ask')) ?? (agent.tools.length === 1 ? agent.tools[0] : '');
    if (only) return gateway.tool(only);
    const fitting = await gateway.search(turn.text, agent.slug);
    throw new Unclear(`${agent.name} can do several things; say which. ${near(fitting)}`);
  }
  const words = target.replaceAll(/[_-]+/g, ' ');
  const close = [...(await gateway.search(words)), ...(await gateway.search(turn.text))];
  throw new Unclear(`There is no agent or tool called '${target.slice(0, 80)}'. ${near(close)}`.trim());
}

async function existing(connection: Connection, name: string): Promise<Tool | null> {
  try {
    return await connection.gateway.tool(name);
  } catch (fault) {
    if (fault instanceof Refusal && fault.code === 'unknown') return null;
    throw fault;
  }
}

/** The tools that the text names, and those of agents that it names. */
async function mentioned(connection: Connection, said: string): Promise<Tool[]> {
  const names = [...new Set(said.match(NAME) ?? [])].slice(0, NEAR);
  const found = (await Promise.all(names.map((name) => existing(connection, name)))).filter((tool) => tool !== null);
  const spoken = new Set(said.toLowerCase().match(/[\p{L}\p{N}-]+/gu) ?? []);
  const agents = connection.agents.filter((a) => spoken.has(a.slug) || spoken.has(a.name.toLowerCase())).slice(0, NEAR);
  for (const agent of agents) {
    for (const name of agent.tools.slice(0, NEAR)) {
      const tool = found.some((known) => known.name === name) ? null : await existing(connection, name);
      if (tool) found.push(tool);
    }
  }
  return found.slice(0, CANDIDATES);
}

/** Arguments as an object: a text is read as JSON, else it fills the one text that the tool must have. */
function fitted(args: unknown, tool: Tool): Arguments {
  if (isObject(args)) return args;
  if (typeof args !== 'string' || !args.trim()) return {};
  try {
    const read: unknown = JSON.parse(args);
    if (isObject(read)) return read;
  } catch {
    // plain words
  }
  const schema = isObject(tool.input_schema) ? tool.input_schema : {};
  const required: unknown[] = Array.isArray(schema.required) ? schema.required : [];
  return typeof required[0] === 'string' ? { [required[0]]: args } : {};
}

function near(tools: Tool[]): string {
  const names = [...new Set(tools.map((tool) => tool.name))].slice(0, NEAR);
  return names.length ? `Near to it: ${names.join(', ')}.` : '';
}

function question(request: string, tools: Tool[]): string {
  const lines = tools.map((t) => JSON.stringify({ tool: t.name, does: t.description.slice(0, 500), arguments: t.input_schema }));
  return `Choose the tool that does what is asked, and its arguments. Take every value from the request.

# Tools
${lines.join('\n')}

# Request
${request}

# Answer
One JSON object and nothing else: {"tool": "<name of the tool>", "arguments": {<as its JSON Schema says>}}`;
}
