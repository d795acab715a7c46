// What touches the runtime of ElizaOS: the service, the actions, the routes, and how a turn is made of a message. How the
// runtime carries out a call stands in eliza-run.ts.
// Nothing of the core is imported but types: an agent that holds two copies of it still has one.
import { randomBytes } from 'node:crypto';
import type {
  Action,
  ActionResult,
  Content,
  HandlerCallback,
  HandlerOptions,
  IAgentRuntime,
  Memory,
  Plugin,
  Provider,
  Route,
  Service,
  State,
} from '@elizaos/core';
import about from '../package.json' with { type: 'json' };
import { analyze } from './analyze.ts';
import { callAgent, findAgents } from './calls.ts';
import { isObject } from './choose.ts';
import { Connection } from './connection.ts';
import { forget as forgetPeople } from './eliza-forget.ts';
import { act, say, waiting } from './eliza-run.ts';
import { Registration, type Self } from './registration.ts';
import { actions, capabilities, Fault, forget, messages, type Callee, type Request, type Response } from './routes.ts';
import type { Context, Said, Turn } from './turn.ts';

const SERVICE = 'doolittle';
const PATIENCE = 120;
/** Memories of each kind that a specialist is told. */
const REMEMBERED = 12;
/** Tools that the model reads of with each message. */
const SHOWN = 5;

/** Holds the connection to the gateway, and the key by which the gateway calls, for one agent. */
export class DoolittleService {
  static readonly serviceType = SERVICE;
  readonly capabilityDescription = 'Calls agents and tools of other networks through the Doolittle gateway';
  readonly connection: Connection | null;
  callee: Callee | null = null;
  private registration: Registration | null = null;

  constructor(runtime: IAgentRuntime) {
    const url = setting(runtime, 'DOOLITTLE_URL');
    const say = (line: string) => {
      runtime.logger.warn({ src: 'plugin:doolittle', agentId: runtime.agentId }, line);
    };
    const key = setting(runtime, 'DOOLITTLE_ROUTE_KEY');
    if (key) this.callee = callee(runtime, key);
    if (!URL.canParse(url)) {
      if (url) say(`DOOLITTLE_URL is no address: '${url}'; the agent goes on without the gateway`);
      this.connection = null;
      return;
    }
    const seconds = Number(setting(runtime, 'DOOLITTLE_TIMEOUT')) || PATIENCE;
    this.connection = new Connection({ url, key: setting(runtime, 'DOOLITTLE_KEY'), patience: seconds * 1000 }, say);
    if (setting(runtime, 'DOOLITTLE_REGISTER') === 'false') return;
    this.callee ??= callee(runtime, randomBytes(32).toString('base64url'));
    this.registration = new Registration(this.connection.gateway, self(runtime, this.callee.key), say);
  }

  /** Returns at once, whether the gateway answers or not. */
  static start(runtime: IAgentRuntime): Promise<DoolittleService> {
    const made = new DoolittleService(runtime);
    made.connection?.start();
    made.registration?.start();
    return Promise.resolve(made);
  }

  async stop(): Promise<void> {
    this.callee = null;
    await this.registration?.stop();
    this.connection?.stop();
  }
}

/** How the agent offers itself: by an address that it was told, or that of its own server on this machine. */
function self(runtime: IAgentRuntime, key: string): Self {
  const told = setting(runtime, 'DOOLITTLE_ADDRESS').replace(/\/+$/, '');
  const port = setting(runtime, 'SERVER_PORT') || setting(runtime, 'PORT') || '3000';
  const url = told || `http://127.0.0.1:${port}`;
  const { agentId, character } = runtime;
  const name = character.name.toLowerCase().match(/[a-z0-9]+/g)?.join('-') ?? 'agent';
  return {
    name: `${name.slice(0, 12).replace(/-$/, '')}-${agentId.slice(0, 4)}`,
    offer: { network: 'elizaos', url, key: '', options: { plugin: { key, agents: [agentId] } } },
    probe: told ? '' : `${url}/${SERVICE}/capabilities?agentId=${agentId}`,
    key,
  };
}

/** Names of the actions that are offered as tools. */
function offered(runtime: IAgentRuntime): Set<string> {
  const said = setting(runtime, 'DOOLITTLE_ACTIONS').split(/[\s,]+/);
  const every = said.includes('*') ? runtime.actions.map((action) => action.name) : [];
  return new Set([...said, ...every]);
}

function callee(runtime: IAgentRuntime, key: string): Callee {
  return {
    key,
    capabilities: () => described(runtime),
    say: (asked, out, signal) => say(runtime, asked, out, signal),
    forget: (users) => forgetPeople(runtime, users),
    act: (name, asked, out, signal) => {
      const action = offered(runtime).has(name) && runtime.actions.find((known) => known.name === name);
      if (!action) return Promise.reject(new Fault('unknown', `the agent offers no action ${name.slice(0, 80)}`));
      return act(runtime, action, asked, out, signal);
    },
  };
}

/** What the gateway lists. Of the character no settings: they hold the server's whole environment. */
function described(runtime: IAgentRuntime): object {
  const { name, bio, system, topics, adjectives, username } = runtime.character;
  const direct = offered(runtime);
  const listed = runtime.actions.map((action) => {
    const { name, description, similes, parameters } = action;
    return { name, description, similes: similes ?? [], parameters: parameters ?? null, direct: direct.has(name) };
  });
  return {
    protocol: 1,
    version: about.version,
    agentId: runtime.agentId,
    character: { name, username, bio: [bio].flat().sort(), system, topics: topics?.toSorted() ?? [], adjectives: adjectives?.toSorted() ?? [] },
    actions: listed.sort((a, b) => (a.name < b.name ? -1 : 1)),
    evaluators: runtime.evaluators.map((evaluator) => ({ name: evaluator.name, description: evaluator.description })),
    multiStep: setting(runtime, 'USE_MULTI_STEP') === 'true',
  };
}

type Way = (request: Request, response: Response, callee: Callee | null) => void | Promise<void>;

function route(type: 'GET' | 'POST', path: string, way: Way): Route {
  return {
    type,
    path,
    name: `doolittle${path}`,
    handler: async (request, response, runtime) => {
      await way(request, response as unknown as Response, service(runtime)?.callee ?? null);
    },
  };
}

function setting(runtime: IAgentRuntime, name: string): string {
  const value = runtime.getSetting(name);
  return value === null ? '' : String(value).trim();
}

const service = (runtime: IAgentRuntime) => runtime.getService(SERVICE) as unknown as DoolittleService | null;
const connected = (runtime: IAgentRuntime): Connection | null => service(runtime)?.connection ?? null;

type Live = (piece: string) => Promise<void>;

const taken = new WeakSet();

/** What the model gave with this action. The core leaves it standing for the next step: what was taken is not taken again. */
function params(state: State | undefined): Record<string, unknown> {
  const given: unknown = state?.data.actionParams;
  if (!isObject(given) || taken.has(given)) return {};
  taken.add(given);
  return given;
}

/**
 * What shows pieces under the id of the message that follows: servers drop pieces without one. The core gives the id to
 * what is called back, which it keeps until the action ended; so `spoken` is called back now, and filled in later.
 */
async function showing(spoken: Content, options?: HandlerOptions, callback?: HandlerCallback): Promise<Live | undefined> {
  const live = options?.onStreamChunk as ((piece: string, id?: string) => Promise<void>) | undefined;
  if (!live || !callback) return live;
  await callback(spoken);
  return (piece) => live(piece, spoken.responseId as string | undefined);
}

/** The turn that a message begins. */
function turnOf(runtime: IAgentRuntime, message: Memory, state: State | undefined, live: Live | undefined): Turn {
  return {
    text: message.content.text ?? '',
    params: params(state),
    conversation: message.roomId,
    hops: passed(message),
    signal: waiting(runtime),
    context: () => context(runtime, message),
    live: live !== undefined,
    think: (prompt) => object(runtime, prompt),
    show: async (piece) => {
      try {
        await live?.(piece);
      } catch {
        // whoever watched is gone; the call goes on
      }
    },
  };
}

/** What the specialist must know: who asks, what was said here, what is known. */
async function context(runtime: IAgentRuntime, message: Memory): Promise<Context> {
  const { name, bio, system } = runtime.character;
  const [recent, facts] = await Promise.all([held(runtime, message, 'messages'), held(runtime, message, 'facts')]);
  const said = recent.filter((memory) => memory.content.type !== 'action_result' && memory.id !== message.id);
  return {
    character: { name, bio: [bio].flat(), system: system ?? '' },
    recent: said.map((memory) => ({ who: memory.entityId === runtime.agentId ? name : 'user', text: textOf(memory) })),
    facts: facts.map(textOf),
  };
}

/** The last memories of this place that hold words, oldest first; none where they cannot be read. */
async function held(runtime: IAgentRuntime, message: Memory, tableName: string): Promise<Memory[]> {
  try {
    const found = await runtime.getMemories({ tableName, roomId: message.roomId, count: REMEMBERED });
    const old = (memory: Memory) => memory.createdAt ?? 0;
    return found.filter((memory) => textOf(memory)).sort((a, b) => old(a) - old(b));
  } catch {
    return [];
  }
}

const textOf = (memory: Memory): string => (memory.content.text ?? '').slice(0, 2_000);

/** The chain of agents that led to this message: the gateway writes it into the message's metadata. */
function passed(message: Memory): string {
  for (const holder of [message.metadata, message.content.metadata]) {
    const own: unknown = isObject(holder) ? holder.doolittle : undefined;
    if (isObject(own) && typeof own.hops === 'string') return own.hops;
  }
  return '';
}

/** A JSON object from the agent's model; {} where it gives none. Not every provider has object models. */
async function object(runtime: IAgentRuntime, prompt: string): Promise<Record<string, unknown>> {
  if (runtime.getModel('OBJECT_SMALL')) {
    try {
      const made: unknown = await runtime.useModel('OBJECT_SMALL', { prompt });
      if (isObject(made) && Object.keys(made).length) return made;
    } catch {
      // the model of texts is asked
    }
  }
  try {
    return firstObject(await runtime.useModel('TEXT_SMALL', { prompt, stream: false }));
  } catch (fault) {
    runtime.logger.warn({ src: 'plugin:doolittle', error: String(fault) }, 'the model gave no arguments');
    return {};
  }
}

/** What stands between the first and the last brace of a text. */
function firstObject(said: string): Record<string, unknown> {
  try {
    const read: unknown = JSON.parse(said.slice(said.indexOf('{'), said.lastIndexOf('}') + 1));
    return isObject(read) ? read : {};
  } catch {
    return {};
  }
}

type Words = Pick<Action, 'description' | 'similes' | 'examples'> & { parameters: Record<string, unknown>; needs?: string };
type Doing = (connection: Connection, turn: Turn, runtime: IAgentRuntime) => Promise<Said>;

function action(name: string, run: Doing, rest: Words): Action {
  const handler = async (
    runtime: IAgentRuntime,
    message: Memory,
    state?: State,
    options?: HandlerOptions,
    callback?: HandlerCallback,
  ): Promise<ActionResult> => {
    const connection = connected(runtime);
    const given: Content = { text: '', actions: [name], source: SERVICE };
    const live = await showing(given, options, callback);
    const said: Said = connection
      ? await run(connection, turnOf(runtime, message, state, live), runtime)
      : { success: false, text: 'No gateway is set up for me (DOOLITTLE_URL).', values: {}, data: {} };
    const { spoken, ...result } = said;
    const failed = !result.success;
    Object.assign(given, { text: spoken ?? result.text }, failed && { error: true });
    if (!given.responseId) await callback?.(given);
    return { ...result, data: { actionName: name, ...result.data }, ...(failed && { error: result.text }) };
  };
  const set = (runtime: IAgentRuntime) => !rest.needs || setting(runtime, rest.needs) !== '';
  return { ...rest, name, handler, validate: (runtime) => Promise.resolve(connected(runtime) !== null && set(runtime)) };
}

const example = (asked: string, answer: string, name: string) => [
  { name: '{{user}}', content: { text: asked } },
  { name: '{{agent}}', content: { text: answer, actions: [name] } },
];

async function specialist(connection: Connection, turn: Turn, runtime: IAgentRuntime): Promise<Said> {
  const target = setting(runtime, 'DOOLITTLE_SIDEKICK');
  const framework = setting(runtime, 'DOOLITTLE_FRAMEWORK');
  if (target) return analyze(connection, turn, { target, framework });
  return { success: false, text: 'No Python specialist is set up for me (DOOLITTLE_SIDEKICK).', values: {}, data: {} };
}

/** The few tools that fit the present message, from what is known: it never waits for the gateway. */
export const tools: Provider = {
  name: 'DOOLITTLE_TOOLS',
  description: 'Agents and tools of other networks that fit the message',
  position: 50,
  get: (runtime, message) => {
    const fitting = connected(runtime)?.relevant(message.content.text ?? '', SHOWN) ?? [];
    const lines = fitting.map((tool) => `- ${tool.name}: ${tool.description.split('\n')[0] ?? ''}`);
    const text = lines.length ? `# Agents and tools of other networks, for the action CALL_AGENT\n${lines.join('\n')}` : '';
    const names = fitting.map((tool) => tool.name);
    return Promise.resolve({ text, values: { doolittleTools: names.join(', ') }, data: { tools: fitting } });
  },
};

export const plugin: Plugin = {
  name: SERVICE,
  description: 'Agents and tools of every network that the Doolittle gateway reaches',
  config: {
    DOOLITTLE_URL: null,
    DOOLITTLE_KEY: null,
    DOOLITTLE_TIMEOUT: null,
    DOOLITTLE_SIDEKICK: null,
    DOOLITTLE_FRAMEWORK: null,
    DOOLITTLE_REGISTER: null,
    DOOLITTLE_ADDRESS: null,
    DOOLITTLE_ROUTE_KEY: null,
    DOOLITTLE_ACTIONS: null,
  },
  routes: [
    route('GET', '/capabilities', capabilities),
    route('POST', '/messages', messages),
    route('POST', '/actions/:name', actions),
    route('POST', '/forget', forget),
  ],
  services: [DoolittleService as unknown as typeof Service],
  providers: [tools],
  actions: [
    action('CALL_AGENT', callAgent, {
      description: 'Calls another agent, or a tool, on any network that the gateway reaches, and answers with its result.',
      similes: ['ASK_AGENT', 'CALL_TOOL', 'USE_TOOL', 'DELEGATE_TO_AGENT'],
      parameters: {
        tool: { type: 'string', description: "Name of the tool, such as 'words__count', or of the agent", required: true },
        arguments: { type: 'object', description: 'The arguments of the tool, by name', required: false },
      },
      examples: [example('Ask the words server how many words this has.', 'I ask it.', 'CALL_AGENT')],
    }),
    action('FIND_AGENT', findAgents, {
      description: 'Finds agents and tools on other networks by words that say what is needed. Calls none of them.',
      similes: ['SEARCH_AGENTS', 'LIST_AGENTS', 'DISCOVER_AGENTS', 'FIND_TOOL'],
      parameters: { query: { type: 'string', description: 'What is needed, in a few words', required: true } },
      examples: [example('Who could translate this for me?', 'I look for one.', 'FIND_AGENT')],
    }),
    action('PYTHON_ANALYZE', specialist, {
      description: 'Gives a task that needs code, data or several steps of research to the Python specialist.',
      similes: ['ENGAGE_SPECIALIST', 'RUN_PYTHON', 'DEEP_ANALYSIS'],
      needs: 'DOOLITTLE_SIDEKICK',
      parameters: {
        task: { type: 'string', description: 'What is to be done', required: true },
        framework: { type: 'string', description: 'langgraph, crewai, autogen or pydantic-ai', required: false },
      },
      examples: [example('Analyze last month for trends.', 'I engage the Python specialist.', 'PYTHON_ANALYZE')],
    }),
  ],
};
