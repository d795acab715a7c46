// PYTHON_ANALYZE: a task for the Python specialist, with what it must know to do it.
import { followed, guarded } from './calls.ts';
import { isObject, resolved, type Arguments } from './choose.ts';
import type { Connection } from './connection.ts';
import type { Tool } from './gateway.ts';
import type { Context, Said, Turn } from './turn.ts';

export interface Sidekick {
  /** The agent or tool that does it. */
  target: string;
  /** The engine, where the message names none. */
  framework: string;
}

const ENGINES: Record<string, string> = {
  langchain: 'langgraph',
  langgraph: 'langgraph',
  crewai: 'crewai',
  autogen: 'autogen',
  'pydantic-ai': 'pydantic-ai',
};
const TASKS = ['task', 'message', 'prompt', 'input', 'question', 'query', 'text'];

/** Sends the task on, and shows the steps. Never throws. */
export async function analyze(connection: Connection, turn: Turn, sidekick: Sidekick): Promise<Said> {
  const asked = word(turn.params.framework) || (/\b(langchain|langgraph|crewai|autogen|pydantic-ai)\b/i.exec(turn.text)?.[0] ?? sidekick.framework);
  const framework = ENGINES[asked.toLowerCase()] ?? '';
  if (asked && !framework) {
    const known = [...new Set(Object.values(ENGINES))].join(', ');
    return { success: false, text: `I know no framework '${asked.slice(0, 40)}'; known are ${known}.`, values: {}, data: {} };
  }
  const intro = `I engage the Python specialist${framework && ` (${framework})`}.`;
  await turn.show(`${intro}\n`);
  const said = await guarded('the Python specialist', async () => {
    const tool = await resolved(connection, turn, sidekick.target);
    const args = worded(tool, word(turn.params.task) || turn.text, await turn.context(), framework);
    return followed(connection, turn, tool, args);
  });
  return finished(said, framework, turn.live ? '' : `${intro}\n`);
}

/** The result with what the specialist says of itself. */
function finished(said: Said, framework: string, intro: string): Said {
  const structured = isObject(said.data.structured) ? said.data.structured : {};
  const text = word(structured.response) || word(structured.answer) || said.text;
  const score = structured.benchmarkScore ?? null;
  const values = said.success ? { ...said.values, pythonAnalysis: text, benchmarkScore: score } : {};
  const data = { ...said.data, framework, benchmarkScore: score };
  return { ...said, text, spoken: said.success ? intro + text : text, values, data };
}

/** The arguments, by the names that the tool has for them; context for which it has no name goes with the task. */
export function worded(tool: Tool, task: string, context: Context, framework: string): Arguments {
  const schema = isObject(tool.input_schema) ? tool.input_schema : {};
  const fields = isObject(schema.properties) ? schema.properties : {};
  const key = TASKS.find((name) => name in fields) ?? 'task';
  const args: Arguments = { [key]: task };
  if (!isObject(fields.context)) args[key] = `${task}\n\n${told(context)}`;
  else args.context = fields.context.type === 'object' ? { ...context } : told(context);
  if (framework && 'framework' in fields) args.framework = framework;
  return args;
}

function told(context: Context): string {
  const { name, system, bio } = context.character;
  const parts = [`# Who asks\n${[name, ...bio, system].filter(Boolean).join('\n')}`];
  if (context.facts.length) parts.push(`# Known facts\n${context.facts.map((fact) => `- ${fact}`).join('\n')}`);
  if (context.recent.length) parts.push(`# Recent messages\n${context.recent.map(({ who, text }) => `${who}: ${text}`).join('\n')}`);
  return parts.join('\n\n');
}

const word = (value: unknown): string => (typeof value === 'string' ? value.trim() : '');
