// What an agent keeps of the gateway: the catalogue, refreshed in the background, and whether the gateway is there.
import { Away, type Refusal } from './faults.ts';
import { Gateway, type Agent, type Settings, type Tool } from './gateway.ts';

/** Milliseconds between two looks at the catalogue, while the gateway is there. */
const EVERY = 60_000;
/** Milliseconds until the next try after so many failures. */
const AGAIN: [number, ...number[]] = [500, 1_000, 2_000, 5_000, 10_000, 30_000];
/** Tools that are kept; the gateway's own search knows the others. */
const KEPT = 2_000;
/** Messages whose search is remembered. */
const SEARCHES = 50;

/** A tool in a line. */
export interface Brief {
  name: string;
  agent: string;
  description: string;
}

export class Connection {
  readonly gateway: Gateway;
  agents: Agent[] = [];
  tools: Brief[] = [];
  private readonly say: (line: string) => void;
  private readonly found = new Map<string, Brief[]>();
  private state: 'new' | 'there' | 'away' = 'new';
  private failures = 0;
  private timer: NodeJS.Timeout | undefined;
  private looking = false;
  private ended = false;

  constructor(settings: Settings, say: (line: string) => void) {
    this.say = say;
    this.gateway = new Gateway(settings);
    this.gateway.heard = (fault) => {
      this.hear(fault);
    };
  }

  /** Begins to look, and returns at once. */
  start(): void {
    void this.look();
  }

  stop(): void {
    this.ended = true;
    clearTimeout(this.timer);
    this.gateway.stop();
  }

  /** The network that an agent lives on; the gateway is asked of one that is new. "" where it is not known. */
  async network(slug: string): Promise<string> {
    const of = (agents: Agent[]) => agents.find((agent) => agent.slug === slug)?.network;
    try {
      return of(this.agents) ?? of(await this.listed()) ?? '';
    } catch {
      return '';
    }
  }

  /** The agents, as they are now. */
  async listed(): Promise<Agent[]> {
    this.agents = await this.gateway.agents();
    return this.agents;
  }

  /** The tools that fit a message, from what is known now; asks the gateway in the background, for the next time. */
  relevant(text: string, count: number): Brief[] {
    if (this.state !== 'there') return [];
    const known = this.found.get(text);
    if (!known) void this.remember(text);
    return (known?.length ? known : ranked(this.tools, text)).slice(0, count);
  }

  private async remember(text: string): Promise<void> {
    if (!text.trim()) return;
    this.found.set(text, []);
    if (this.found.size > SEARCHES) this.found.delete(this.found.keys().next().value ?? '');
    try {
      this.found.set(text, (await this.gateway.search(text)).map(brief));
    } catch {
      this.found.delete(text);
    }
  }

  private async look(): Promise<void> {
    if (this.looking) return;
    this.looking = true;
    let wait = EVERY;
    try {
      const [agents, tools] = await Promise.all([this.gateway.agents(), this.gateway.tools()]);
      this.agents = agents;
      this.tools = tools.slice(0, KEPT).map(brief);
      this.found.clear();
      this.failures = 0;
    } catch {
      wait = AGAIN[Math.min(this.failures, AGAIN.length - 1)] ?? EVERY;
      this.failures += 1;
    }
    this.looking = false;
    this.again(wait);
  }

  /** Looks in so many milliseconds, and not before. */
  private again(wait: number): void {
    clearTimeout(this.timer);
    if (!this.ended) this.timer = setTimeout(() => void this.look(), wait).unref();
  }

  /** One line when it goes, and one when it comes back. */
  private hear(fault: Away | Refusal | null): void {
    const why = fault ? trouble(fault) : '';
    if (fault && !why) return;
    const before = this.state;
    this.state = why ? 'away' : 'there';
    if (this.state === before) return;
    const { url } = this.gateway.settings;
    if (why) this.again(AGAIN[0]);
    if (why) this.say(`the gateway at ${url} ${why}; the agent goes on without it`);
    else if (before === 'away') this.say(`the gateway at ${url} answers again`);
  }
}

/** Why the gateway is as good as away; "" for a fault of one call. */
function trouble(fault: Away | Refusal): string {
  if (fault instanceof Away) return fault.slow && fault.delivered === 'unknown' ? '' : `does not answer (${fault.message})`;
  return fault.code === 'unauthenticated' ? 'does not accept DOOLITTLE_KEY' : '';
}

function brief(tool: Tool): Brief {
  return { name: tool.name, agent: tool.agent, description: tool.description.slice(0, 200) };
}

/** By the words that they share with the text: rare words count more. Those that share none are left out. */
export function ranked(tools: Brief[], text: string): Brief[] {
  const asked = words(text);
  if (!asked.size) return [];
  const held = tools.map((tool) => words(`${tool.name} ${tool.description}`));
  const often = new Map<string, number>();
  for (const word of asked) often.set(word, held.filter((has) => has.has(word)).length);
  return tools
    .map((tool, index) => {
      let score = 0;
      for (const word of asked) if (held[index]?.has(word)) score += Math.log(1 + tools.length / (often.get(word) ?? 1));
      return { tool, score };
    })
    .filter(({ score }) => score > 0)
    .sort((a, b) => b.score - a.score)
    .map(({ tool }) => tool);
}

function words(text: string): Set<string> {
  return new Set(text.toLowerCase().slice(0, 2_000).match(/[\p{L}\p{N}]{3,}/gu) ?? []);
}
