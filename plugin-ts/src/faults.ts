// What goes wrong, each with a sentence for the user.
import type { components } from './wire.ts';

type Problem = components['schemas']['Problem'];

/** The gateway said no, or that the far side failed. */
export class Refusal extends Error {
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(problem.detail);
    this.name = 'Refusal';
    this.problem = problem;
  }

  get code(): string {
    return this.problem.code;
  }
}

/** The gateway did not answer, or not as a gateway does. */
export class Away extends Error {
  readonly delivered: 'no' | 'unknown';

  constructor(cause: unknown, delivered: 'no' | 'unknown') {
    super(reason(cause), { cause });
    this.name = 'Away';
    this.delivered = delivered;
  }

  /** Whether we stopped waiting. */
  get slow(): boolean {
    return this.cause instanceof Error && this.cause.name === 'TimeoutError';
  }
}

/** The words of an error, its cause's before its own: fetch itself says no more than "fetch failed". */
function reason(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  const deeper = cause.cause as { message?: string; code?: string } | undefined;
  return deeper?.message || deeper?.code || cause.message;
}

const SENTENCES: Record<string, string> = {
  unauthenticated: 'The gateway does not accept my key, so I cannot reach other agents.',
  denied: 'My key does not allow this call.',
  rate_limited: 'I have called too often; please try again in a moment.',
  full: 'The gateway is busy; please try again in a moment.',
  busy: 'The gateway is busy; please try again in a moment.',
  paused: 'This agent is paused at present.',
  timed_out: 'It took too long, so I stopped waiting.',
};

/** What the user is told. */
export function sentence(fault: unknown, target: string): string {
  if (fault instanceof Away) {
    if (fault.slow && fault.delivered === 'unknown') return `${target} took too long, so I stopped waiting.`;
    return 'I cannot reach the other agents at present: the gateway does not answer.';
  }
  if (!(fault instanceof Refusal)) return `Something went wrong with ${target}.`;
  const { code, detail } = fault.problem;
  if (code === 'loop_cut') return `I did not call ${target}, for that would go round in a circle: ${detail}.`;
  const known = SENTENCES[code];
  return known ?? `${target} could not do it: ${detail.replace(/\.$/, '')}.`;
}
