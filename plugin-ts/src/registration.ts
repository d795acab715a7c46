// The agent offers itself to the gateway: a lease that is renewed while the agent lives. Knows nothing of ElizaOS's runtime.
import { Away, Refusal } from './faults.ts';
import type { Gateway, Lease, Offer } from './gateway.ts';

/** Milliseconds until the next try, after so many in a row that brought nothing. */
const AGAIN: [number, ...number[]] = [500, 1_000, 2_000, 5_000, 5_000, 10_000];
/** Renewals in the time of one lease. */
const OFTEN = 3;
/** Milliseconds in which the gateway must hear that the agent stops. */
const FAREWELL = 2_000;
/** Milliseconds for a look at the agent's own address. */
const QUICK = 2_000;

export interface Self {
  /** The lease's name, the same after each start. */
  name: string;
  offer: Offer;
  /** Where this agent answers if it is at the offer's address; "" where that need not be looked at. */
  probe: string;
  key: string;
}

export class Registration {
  private readonly gateway: Gateway;
  private readonly self: Self;
  private readonly say: (line: string) => void;
  private timer: NodeJS.Timeout | undefined;
  private failures = 0;
  private told = '';
  private ended = false;
  private held = false;

  constructor(gateway: Gateway, self: Self, say: (line: string) => void) {
    this.gateway = gateway;
    this.self = self;
    this.say = say;
  }

  /** Begins, and returns at once: neither the gateway nor the agent's own server need be up yet. */
  start(): void {
    void this.renew();
  }

  /** The gateway is told, if it is there. */
  async stop(): Promise<void> {
    this.ended = true;
    clearTimeout(this.timer);
    if (!this.held) return;
    const late = new Promise<void>((resolve) => setTimeout(resolve, FAREWELL).unref());
    const told = this.gateway.withdraw(this.self.name).catch(() => undefined);
    await Promise.race([told, late]);
  }

  private async renew(): Promise<void> {
    const lease = await this.lease();
    this.failures = lease?.up ? 0 : this.failures + 1;
    if (lease && !lease.up && this.failures === AGAIN.length) {
      this.note(`the gateway does not reach this agent at ${this.self.offer.url}; say where it does with DOOLITTLE_ADDRESS`);
    }
    const again = AGAIN[Math.min(this.failures, AGAIN.length) - 1] ?? AGAIN[0];
    const wait = lease?.up ? (lease.seconds * 1_000) / OFTEN : again;
    if (!this.ended) this.timer = setTimeout(() => void this.renew(), wait).unref();
  }

  private async lease(): Promise<Lease | null> {
    try {
      if (!this.held && !(await this.here())) return null;
      const lease = await this.gateway.register(this.self.name, this.self.offer);
      this.held = true;
      if (lease.up) this.note('');
      return lease;
    } catch (fault) {
      this.note(complaint(fault));
      return null;
    }
  }

  /** Whether this agent answers at the address that it is about to give. */
  private async here(): Promise<boolean> {
    if (!this.self.probe) return true;
    try {
      const headers = { authorization: `Bearer ${this.self.key}` };
      const response = await fetch(this.self.probe, { headers, redirect: 'error', signal: AbortSignal.timeout(QUICK) });
      await response.body?.cancel();
      if (response.ok) return true;
    } catch {
      // its server is not up yet
    }
    if (this.failures === AGAIN.length) {
      this.note(`this agent does not answer at ${this.self.offer.url}, so it is not offered; say where it does with DOOLITTLE_ADDRESS`);
    }
    return false;
  }

  /** Each trouble once. */
  private note(line: string): void {
    if (line && line !== this.told) this.say(line);
    this.told = line;
  }
}

/** What the operator can mend; "" for a gateway that is away, which is told elsewhere. */
function complaint(fault: unknown): string {
  if (fault instanceof Away || !(fault instanceof Refusal) || fault.code === 'unauthenticated') return '';
  if (fault.code !== 'denied') return `the gateway does not take this agent: ${fault.message}`;
  return `this agent calls, and is not offered: ${fault.message}`;
}
