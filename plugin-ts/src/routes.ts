// The ways by which the gateway calls this agent, each behind the agent's own key. Knows nothing of ElizaOS's runtime.
//
// ElizaOS mounts a plugin's routes three times, once of them outside its own check of keys; and a route is found without an
// agent's id too, for the first agent that has it. So each request must show the key of the agent that would answer it.
import { createHash, timingSafeEqual } from 'node:crypto';
import { isObject } from './choose.ts';
import { reason, written, type Line, type Out } from './lines.ts';

/** A call to this agent, as the gateway puts it. */
export interface Asked {
  message: string;
  /** Who asks, and where: UUIDs that the gateway keeps apart for its callers and their conversations. */
  user: string;
  room: string;
  /** The agents that were passed, as the header carries them. */
  hops: string;
  /** Whether the room is one to be remembered. */
  kept: boolean;
  /** Milliseconds. */
  timeout: number;
  multiStep?: boolean;
  parameters: Record<string, unknown>;
}

/** What was removed, and what could not be. */
export interface Forgotten {
  people: number;
  rooms: number;
  memories: number;
  left: string[];
}

/** An agent that can be called. What these throw becomes the stream's `error`. */
export interface Callee {
  /** "" where nobody may call. */
  key: string;
  capabilities(): object;
  say(asked: Asked, out: Out, signal: AbortSignal): Promise<void>;
  act(action: string, asked: Asked, out: Out, signal: AbortSignal): Promise<void>;
  forget(users: string[]): Promise<Forgotten>;
}

export interface Request {
  headers?: Record<string, string | string[] | undefined>;
  params?: Record<string, string>;
  body?: unknown;
}

/** Of node's own response, which ElizaOS hands on. */
export interface Response {
  statusCode: number;
  writableEnded: boolean;
  setHeader(name: string, value: string): unknown;
  write(piece: string): unknown;
  end(piece?: string): unknown;
  once(event: 'close', then: () => void): unknown;
}

/** Milliseconds after which a silent stream shows that it lives. */
const HEARTBEAT = 5_000;
/** Milliseconds of a call for which the gateway names no time. */
const LONGEST = 3_600_000;
const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** A line of the stream that says why there is nothing to be had. */
export class Fault extends Error {
  readonly code: 'unknown' | 'refused' | 'timed_out';

  constructor(code: Fault['code'], message: string) {
    super(message);
    this.code = code;
  }
}

export function capabilities(request: Request, response: Response, callee: Callee | null): void {
  if (admitted(request, response, callee)) answer(response, 200, callee.capabilities());
}

export async function messages(request: Request, response: Response, callee: Callee | null): Promise<void> {
  if (!admitted(request, response, callee)) return;
  const asked = read(request.body);
  if (!asked?.message) refuse(response, 400, 'bad_arguments', 'message, user and room are needed');
  else await streamed(response, asked.timeout, (out, signal) => callee.say(asked, out, signal));
}

export async function actions(request: Request, response: Response, callee: Callee | null): Promise<void> {
  if (!admitted(request, response, callee)) return;
  const asked = read(request.body);
  const name = request.params?.name ?? '';
  if (!asked) refuse(response, 400, 'bad_arguments', 'user and room are needed');
  else await streamed(response, asked.timeout, (out, signal) => callee.act(name, asked, out, signal));
}

export async function forget(request: Request, response: Response, callee: Callee | null): Promise<void> {
  if (!admitted(request, response, callee)) return;
  const users: unknown[] = isObject(request.body) && Array.isArray(request.body.users) ? request.body.users : [];
  const ids = users.filter((id): id is string => typeof id === 'string' && ID.test(id));
  if (!ids.length || ids.length !== users.length) refuse(response, 400, 'bad_arguments', 'users are ids, one or more');
  else {
    try {
      answer(response, 200, await callee.forget(ids));
    } catch (fault) {
      refuse(response, 500, 'failed', reason(fault));
    }
  }
}

function admitted(request: Request, response: Response, callee: Callee | null): callee is Callee {
  const said = request.headers?.authorization;
  const shown = typeof said === 'string' && said.startsWith('Bearer ') ? said.slice(7) : '';
  const digest = (text: string) => createHash('sha256').update(text).digest();
  if (callee?.key && timingSafeEqual(digest(shown), digest(callee.key))) return true;
  refuse(response, 401, 'unauthenticated', 'these routes answer to the key of the agent alone');
  return false;
}

function refuse(response: Response, status: number, code: string, message: string): void {
  answer(response, status, { error: { code, message } });
}

function answer(response: Response, status: number, document: object): void {
  response.statusCode = status;
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify(document));
}

function read(body: unknown): Asked | null {
  if (!isObject(body)) return null;
  const text = (value: unknown) => (typeof value === 'string' ? value : '');
  const [user, room] = [text(body.user), text(body.room)];
  if (!ID.test(user) || !ID.test(room)) return null;
  return {
    message: text(body.message),
    user,
    room,
    hops: text(body.hops),
    kept: body.kept === true,
    timeout: typeof body.timeout === 'number' && body.timeout > 0 ? Math.min(body.timeout, LONGEST) : LONGEST,
    ...(typeof body.multiStep === 'boolean' && { multiStep: body.multiStep }),
    parameters: isObject(body.parameters) ? body.parameters : {},
  };
}

type Work = (out: Out, signal: AbortSignal) => Promise<void>;

/** The lines of the work as they come, and in any case an end. The signal says that nobody waits any more. */
async function streamed(response: Response, timeout: number, work: Work): Promise<void> {
  const left = new AbortController();
  const late = () => {
    left.abort(new Fault('timed_out', `the agent did not end within ${timeout / 1_000} seconds`));
  };
  const timer = setTimeout(late, timeout).unref();
  const out = (line: Line) => {
    if (!response.writableEnded && !left.signal.aborted) response.write(written(line));
  };
  const pulse = setInterval(out, HEARTBEAT, { type: 'working' }).unref();
  response.once('close', () => {
    left.abort(new Error('the caller hung up'));
  });
  response.statusCode = 200;
  response.setHeader('content-type', 'application/x-ndjson');
  response.setHeader('cache-control', 'no-store');
  response.setHeader('x-accel-buffering', 'no');
  let last: Line | null = null;
  try {
    await unless(left.signal, work(out, left.signal));
  } catch (fault) {
    last = { type: 'error', code: fault instanceof Fault ? fault.code : 'failed', message: reason(fault) };
  }
  clearTimeout(timer);
  clearInterval(pulse);
  if (!response.writableEnded) response.end(last ? written(last) : '');
}

/** What the work gives, or, as soon as nobody waits for it, why. */
function unless(signal: AbortSignal, work: Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => {
      reject(signal.reason as Error);
    });
    work.then(resolve, reject);
  });
}
