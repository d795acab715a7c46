// A call to an agent, carried out by its runtime; beside eliza.ts and eliza-forget.ts, the file that touches the runtime of ElizaOS.
//
// The core is given a view of the runtime that belongs to this one call: through it are heard the actions that begin and end,
// and through it a call that nobody waits for any more begins no model call and no action. The core itself cannot be told.
import { createHash } from 'node:crypto';
import type { Action, ActionResult, ChannelType, Content, HandlerCallback, IAgentRuntime, Memory, UUID } from '@elizaos/core';
import { isObject } from './choose.ts';
import { reason, spoken, type Out } from './lines.ts';
import { Fault, type Asked } from './routes.ts';

const SOURCE = 'doolittle';
/** Agents always answer in such a place. */
const API = 'API' as unknown as ChannelType;
/** Rooms that were made ready lately, for each agent. */
const READY = 2_000;
const ready = new WeakMap<object, Map<string, Promise<void>>>();
/** The last call of each room: one that came later would make the core drop the answer to it. */
const turns = new Map<string, Promise<void>>();
const signals = new WeakMap<object, AbortSignal>();

/** What says that nobody waits any more for the call in which this runtime was seen; none outside of such calls. */
export function waiting(runtime: IAgentRuntime): AbortSignal | undefined {
  return signals.get(runtime);
}

/** A message, and all that the agent does about it. */
export async function say(runtime: IAgentRuntime, asked: Asked, out: Out, signal: AbortSignal): Promise<void> {
  await inTurn(asked.room, signal, async () => {
    const service = runtime.messageService;
    if (!service) throw new Fault('refused', 'this agent has no service for messages');
    await prepared(runtime, asked);
    const message = heard(runtime, asked);
    const run = { evaluating: false };
    const own: Content[] = [];
    const callback: HandlerCallback = (content) => {
      out({ type: 'message', content: spoken(content) ?? {}, ...(run.evaluating && { evaluator: true }) });
      if (asked.kept && content.text) own.push(content);
      return Promise.resolve([]);
    };
    try {
      const options = {
        timeoutDuration: asked.timeout,
        ...(asked.multiStep !== undefined && { useMultiStep: asked.multiStep }),
        onStreamChunk: streaming(out),
      };
      const { mode, didRespond, responseContent } = await service.handleMessage(seen(runtime, out, signal, run), message, callback, options);
      out({ type: 'end', mode: mode ?? 'none', didRespond, content: spoken(responseContent) });
    } finally {
      forgotten(runtime, message);
    }
    return () => remembered(runtime, asked, own);
  });
}

/** One action, called as a tool: by its exact name, with arguments, and without a model. */
export async function act(runtime: IAgentRuntime, action: Action, asked: Asked, out: Out, signal: AbortSignal): Promise<void> {
  await prepared(runtime, asked);
  const message = heard(runtime, asked);
  const view = seen(runtime, out, signal, { evaluating: false });
  try {
    const state = await view.composeState(message, ['RECENT_MESSAGES', 'ACTION_STATE']);
    const given = parameters(action, asked);
    state.data.actionParams = given;
    state.data[action.name.toLowerCase().replaceAll('_', '')] = given;
    if (!(await action.validate(view, message, state))) throw new Fault('refused', `the action ${action.name} is not possible now`);
    if (signal.aborted) return;
    const options = {
      actionContext: { previousResults: [], getPreviousResult: () => undefined },
      onStreamChunk: streaming(out),
    };
    out({ type: 'action', name: action.name });
    const result = await action.handler(view, message, state, options, (content) => {
      out({ type: 'message', content: spoken(content) ?? {} });
      return Promise.resolve([]);
    });
    out(outcome(action.name, result));
    out({ type: 'end', mode: 'direct', didRespond: true, content: null });
  } finally {
    forgotten(runtime, message);
  }
}

/** The arguments without what every action is offered beside its own. */
function parameters(action: Action, asked: Asked): Record<string, unknown> {
  const said = isObject(action.parameters) ? action.parameters : {};
  const own = isObject(said.properties) ? { ...said, ...said.properties } : said;
  const beside = ['message', 'conversation'].filter((name) => !(name in own));
  return Object.fromEntries(Object.entries(asked.parameters).filter(([name]) => !beside.includes(name)));
}

function streaming(out: Out): (piece: string) => Promise<void> {
  return (text) => {
    out({ type: 'chunk', text });
    return Promise.resolve();
  };
}

/** The runtime as one call sees it. All else is the runtime's own, also what is changed through it. */
function seen(runtime: IAgentRuntime, out: Out, signal: AbortSignal, run: { evaluating: boolean }): IAgentRuntime {
  const go = () => {
    if (signal.aborted) throw new Error('nobody waits for this call any more');
  };
  const through = <K extends 'processActions' | 'composeState' | 'evaluate'>(name: K) =>
    ((...words: unknown[]) => {
      go();
      run.evaluating ||= name === 'evaluate';
      return (runtime[name] as (...w: unknown[]) => unknown).apply(view, words);
    }) as IAgentRuntime[K];
  const own: Record<string, unknown> = {
    processActions: through('processActions'),
    composeState: through('composeState'),
    evaluate: through('evaluate'),
    useModel: (...words: Parameters<IAgentRuntime['useModel']>) => {
      go();
      return runtime.useModel(...words);
    },
    emitEvent: (event: string | string[], params: Parameters<IAgentRuntime['emitEvent']>[1]) => {
      told(event, params, out, go);
      return runtime.emitEvent(event as string, params as never);
    },
    createMemory: (...words: Parameters<IAgentRuntime['createMemory']>) => {
      const name = missing(words[0].content);
      if (name) out({ type: 'result', action: name, success: false, error: `there is no action ${name}`, missing: true });
      return runtime.createMemory(...words);
    },
  };
  const view = new Proxy(runtime, {
    get: (target, key) => {
      if (typeof key === 'string' && key in own) return own[key];
      const value: unknown = Reflect.get(target, key);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
    set: (target, key, value) => Reflect.set(target, key, value),
  });
  signals.set(view, signal);
  return view;
}

/** The actions that the core begins and ends. */
function told(event: string | string[], params: unknown, out: Out, go: () => void): void {
  const content = isObject(params) && isObject(params.content) ? params.content : {};
  const [name] = Array.isArray(content.actions) ? (content.actions as unknown[]) : [];
  if (typeof name !== 'string') return;
  if (event === 'ACTION_STARTED') {
    go();
    out({ type: 'action', name });
  } else if (event === 'ACTION_COMPLETED') out(outcome(name, content.actionResult));
}

/** The action that the core wrote down as one that it does not know; "" for all else. */
function missing(content: Content): string {
  const failed = content.type === 'action_result' && content.actionStatus === 'failed' && !('actionResult' in content);
  return failed && typeof content.actionName === 'string' ? content.actionName : '';
}

/** What an action gave. One that gives nothing, or a mere yes, did well. */
function outcome(action: string, given: unknown): { type: 'result'; action: string; success: boolean } & Partial<ActionResult & { error: string }> {
  if (!isObject(given)) return { type: 'result', action, success: given !== false };
  const { success, text, values, data, error } = given as Partial<ActionResult>;
  return {
    type: 'result',
    action,
    success: success !== false,
    ...(text !== undefined && { text }),
    ...(values && { values }),
    ...(data && { data }),
    ...(error !== undefined && { error: reason(error) }),
  };
}

function heard(runtime: IAgentRuntime, asked: Asked): Memory {
  const metadata = { type: 'message', source: SOURCE, doolittle: { hops: asked.hops } } as unknown as NonNullable<Memory['metadata']>;
  return {
    id: crypto.randomUUID(),
    entityId: asked.user as UUID,
    agentId: runtime.agentId,
    roomId: asked.room as UUID,
    createdAt: Date.now(),
    content: { text: asked.message, source: SOURCE, channelType: API },
    metadata,
  };
}

/** The agent's own words, so that a conversation knows them. Nobody waits for this but who speaks there next. */
async function remembered(runtime: IAgentRuntime, asked: Asked, own: Content[]): Promise<void> {
  const place = { entityId: runtime.agentId, agentId: runtime.agentId, roomId: asked.room as UUID };
  for (const content of own) {
    const memory = { id: crypto.randomUUID(), ...place, createdAt: Date.now(), content: spoken(content) as Content };
    await runtime.createMemory(memory, 'messages');
  }
}

/** What the core keeps for ever of a message that is done with. */
function forgotten(runtime: IAgentRuntime, { id = '' }: { id?: string }): void {
  for (const key of [id, `${id}_action_results`]) runtime.stateCache.delete(key);
}

/** Makes user and room known to the runtime; once for each. */
async function prepared(runtime: IAgentRuntime, asked: Asked): Promise<void> {
  const known = ready.get(runtime) ?? new Map<string, Promise<void>>();
  ready.set(runtime, known);
  const key = `${asked.user} ${asked.room}`;
  const made = known.get(key) ?? connection(runtime, asked);
  known.delete(key);
  known.set(key, made);
  if (known.size > READY) known.delete(known.keys().next().value ?? '');
  try {
    await made;
  } catch (fault) {
    known.delete(key);
    throw fault;
  }
}

/** After a user was removed: the next call makes them known again. */
export function unprepared(runtime: IAgentRuntime, user: string): void {
  const known = ready.get(runtime);
  for (const key of known?.keys() ?? []) if (key.startsWith(`${user} `)) known?.delete(key);
}

function connection(runtime: IAgentRuntime, { user, room }: Asked): Promise<void> {
  const [entityId, roomId] = [user as UUID, room as UUID];
  const digest = createHash('sha256').update(`${SOURCE} ${runtime.agentId}`).digest('hex');
  const worldId = digest.replace(/^(.{8})(.{4})(.{3})(.{3})(.{12}).*/, '$1-$2-8$3-8$4-$5') as UUID;
  const place = { roomId, worldId, channelId: room, type: API, source: SOURCE };
  return runtime.ensureConnection({ entityId, userName: SOURCE, userId: entityId, worldName: 'Doolittle', ...place });
}

/** One after another in each room, with what each leaves to be done. Who stops waiting lets the next begin. */
async function inTurn(room: string, signal: AbortSignal, work: () => Promise<() => Promise<void>>): Promise<void> {
  const before = turns.get(room) ?? Promise.resolve();
  let end = (): void => undefined;
  const done = new Promise<void>((resolve) => {
    end = resolve;
  });
  const mine = before.then(() => done);
  turns.set(room, mine);
  void mine.then(() => turns.get(room) === mine && turns.delete(room));
  signal.addEventListener('abort', end);
  let rest = (): Promise<void> => Promise.resolve();
  try {
    await before;
    if (!signal.aborted) rest = await work();
    signal.removeEventListener('abort', end);
  } finally {
    void rest().catch(() => undefined).finally(end);
  }
}
