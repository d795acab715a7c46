// The gateway over plain HTTP: its catalogue, and calls whose events come as they happen. Knows nothing of ElizaOS.
import { events } from './events.ts';
import { Away, Refusal } from './faults.ts';
import type { components } from './wire.ts';

export type Tool = components['schemas']['ToolOut'];
export type Agent = components['schemas']['AgentOut'];
export type Problem = components['schemas']['Problem'];
export type Offer = components['schemas']['RegistrationIn'];
export type Lease = components['schemas']['RegistrationOut'];

type Request = Pick<components['schemas']['CallRequest'], 'arguments' | 'conversation' | 'timeout'>;

export interface Settings {
  url: string;
  key: string;
  /** Milliseconds that one call may take. */
  patience: number;
}

export interface Part {
  type: 'text' | 'data' | 'file';
  text?: string;
  value?: unknown;
  name?: string;
  mediaType?: string;
  uri?: string;
}

export interface Outcome {
  text: string;
  content: Part[];
  structured?: unknown;
  cost?: { amount: string; asset: string };
}

export type CallEvent =
  | { kind: 'accepted'; call: string }
  | { kind: 'progress'; call: string; message: string; done: number | null; total: number | null }
  | { kind: 'part'; call: string; content: Part }
  | { kind: 'ask'; call: string; requests: { message?: string }[] }
  | { kind: 'result'; call: string; result: Outcome };

export interface CallMore {
  /** A name for what is remembered together. */
  conversation?: string;
  /** The agents that were passed before, as the header carries them. */
  hops?: string;
  signal?: AbortSignal;
}

/** Milliseconds for a question to the catalogue. */
const QUICK = 5_000;
/** Milliseconds by which we wait longer than the gateway does, so that its own words arrive. */
const GRACE = 3_000;

export class Gateway {
  readonly settings: Settings;
  /** Told after each request, whether the gateway was there. */
  heard: (fault: Away | Refusal | null) => void = () => undefined;
  private readonly stopped = new AbortController();

  constructor(settings: Settings) {
    this.settings = { ...settings, url: settings.url.replace(/\/+$/, '') };
  }

  /** Ends all that runs. */
  stop(): void {
    this.stopped.abort();
  }

  agents(): Promise<Agent[]> {
    return this.read<Agent[]>('/v1/agents');
  }

  tools(): Promise<Tool[]> {
    return this.read<Tool[]>('/v1/tools');
  }

  /** The tools that fit these words, best first; of one agent, if it is named. */
  search(words: string, agent = ''): Promise<Tool[]> {
    const said = new URLSearchParams({ q: words.slice(0, 500), agent });
    return this.read<Tool[]>(`/v1/tools?${said.toString()}`);
  }

  tool(name: string): Promise<Tool> {
    return this.read<Tool>(`/v1/tools/${encodeURIComponent(name)}`);
  }

  /** Offers an agent to the gateway for as long as the answer says, or for as long again. */
  async register(name: string, offer: Offer): Promise<Lease> {
    const headers = { accept: 'application/json', 'content-type': 'application/json' };
    const init = { method: 'PUT', headers, body: JSON.stringify(offer) };
    const response = await this.request(registration(name), init, [AbortSignal.timeout(QUICK)]);
    return (await response.json()) as Lease;
  }

  /** Takes the offer back. */
  async withdraw(name: string): Promise<void> {
    await this.request(registration(name), { method: 'DELETE' }, [AbortSignal.timeout(QUICK)]);
  }

  /** The call's events; the last is a `result` or an `ask`. Throws `Refusal` and `Away`. Leaving early cancels the call. */
  async *call(tool: string, args: Record<string, unknown>, more: CallMore = {}): AsyncGenerator<CallEvent> {
    const { patience } = this.settings;
    const body: Request = { arguments: args, timeout: patience / 1000 };
    if (more.conversation) body.conversation = more.conversation;
    const left = new AbortController();
    const signals = [left.signal, AbortSignal.timeout(patience + GRACE)];
    if (more.signal) signals.push(more.signal);
    const headers: Record<string, string> = { accept: 'text/event-stream', 'content-type': 'application/json' };
    if (more.hops) headers['doolittle-hops'] = more.hops;
    const init = { method: 'POST', headers, body: JSON.stringify(body) };
    const response = await this.request(`/v1/tools/${encodeURIComponent(tool)}/calls`, init, signals);
    try {
      yield* this.told(response);
    } finally {
      left.abort();
    }
  }

  private async *told(response: Response): AsyncGenerator<CallEvent> {
    try {
      for await (const [name, document] of events(response)) {
        if (name === 'error') throw new Refusal(document as unknown as Problem);
        const { call, ...rest } = document as { call: string };
        if (name === 'result') yield { kind: name, call, result: rest as unknown as Outcome };
        else yield { kind: name, call, ...rest } as CallEvent;
        if (name === 'result' || name === 'ask') return;
      }
    } catch (fault) {
      if (fault instanceof Refusal) throw fault;
      throw new Away(fault, 'unknown');
    }
    throw new Away(new Error('the stream ended without a result'), 'unknown');
  }

  private async read<T>(path: string): Promise<T> {
    const response = await this.request(path, { headers: { accept: 'application/json' } }, [AbortSignal.timeout(QUICK)]);
    try {
      return (await response.json()) as T;
    } catch (fault) {
      throw new Away(fault, 'no');
    }
  }

  private async request(path: string, init: RequestInit, signals: AbortSignal[]): Promise<Response> {
    const { url, key } = this.settings;
    const headers = { ...(init.headers as Record<string, string>), ...(key && { authorization: `Bearer ${key}` }) };
    try {
      const signal = AbortSignal.any([this.stopped.signal, ...signals]);
      const response = await fetch(url + path, { ...init, headers, signal, redirect: 'error' });
      if (!response.ok) throw await refusal(response);
      this.heard(null);
      return response;
    } catch (fault) {
      const said = fault instanceof Refusal || fault instanceof Away ? fault : new Away(fault, init.method ? 'unknown' : 'no');
      if (!this.stopped.signal.aborted) this.heard(said);
      throw said;
    }
  }
}

const registration = (name: string): string => `/v1/registrations/${encodeURIComponent(name)}`;

async function refusal(response: Response): Promise<Error> {
  const text = await response.text();
  try {
    const problem = JSON.parse(text) as Partial<Problem>;
    if (problem.code && problem.detail) return new Refusal(problem as Problem);
  } catch {
    // no gateway answers so: what follows says it
  }
  return new Away(new Error(`it answers ${response.status}, as no gateway does`), 'no');
}
