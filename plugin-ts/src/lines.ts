// What the gateway is told of a call to this agent: one JSON document a line, the last an `end` or an `error`.

/** What was called back, without what belongs to the runtime alone. */
export type Spoken = Record<string, unknown>;

export type Line =
  | { type: 'working' }
  | { type: 'chunk'; text: string }
  | { type: 'action'; name: string }
  | { type: 'result'; action: string; success: boolean; text?: string; values?: unknown; data?: unknown; error?: string; missing?: true }
  | { type: 'message'; content: Spoken; evaluator?: true }
  | { type: 'end'; mode: string; didRespond: boolean; content: Spoken | null }
  | { type: 'error'; code: 'failed' | 'unknown' | 'refused' | 'timed_out'; message: string };

export type Out = (line: Line) => void;

/** Characters of one line; of a longer one, what actions gave beside their text is left out. */
const LONGEST = 1_000_000;
/** Of what is called back: it refers to itself, and is sent on its own. */
const OWN = new Set(['actionCallbacks', 'evalCallbacks']);

/** The line as text, whatever actions put into it. */
export function written(line: Line): string {
  const whole = text(line);
  if (whole && (whole.length <= LONGEST || line.type !== 'result')) return whole;
  if (line.type === 'result') {
    return text({ ...line, values: undefined, data: undefined, cut: true });
  }
  return line.type === 'message' || line.type === 'end' ? text({ ...line, content: words(line.content) }) : '';
}

function text(document: object): string {
  try {
    return `${JSON.stringify(document, (_key, value: unknown) => (typeof value === 'bigint' ? String(value) : value))}\n`;
  } catch {
    return '';
  }
}

const words = (content: Spoken | null) => content && { text: content.text, actions: content.actions };

export function spoken(content: object | null | undefined): Spoken | null {
  return content ? Object.fromEntries(Object.entries(content).filter(([key]) => !OWN.has(key))) : null;
}

/** The words of whatever was thrown or given as an error. */
export function reason(fault: unknown): string {
  return fault instanceof Error ? fault.message || fault.name : String(fault);
}
