// One turn of an agent: what an action is given, and what it gives back. Free of ElizaOS's own types.

export interface Turn {
  /** What the user said. */
  text: string;
  /** What the model gave with the action, where the agent works in steps. */
  params: Record<string, unknown>;
  /** Where the message was said: calls of one place are remembered together. */
  conversation: string;
  /** The agents that were passed before this one. */
  hops: string;
  /** Says that nobody waits any more, where the turn is part of a call. */
  signal: AbortSignal | undefined;
  /** Asks the agent's model for a JSON object; {} where it gives none. */
  think(prompt: string): Promise<Record<string, unknown>>;
  /** What is known beyond the message. */
  context(): Promise<Context>;
  /** Whether the user sees pieces at once. */
  live: boolean;
  /** Shows a piece at once, where the user's client can. */
  show(piece: string): Promise<void>;
}

export interface Context {
  character: { name: string; bio: string[]; system: string };
  /** Oldest first. */
  recent: { who: string; text: string }[];
  facts: string[];
}

export interface Said {
  success: boolean;
  text: string;
  /** What the user reads, where it is not the text alone. */
  spoken?: string;
  values: Record<string, unknown>;
  data: Record<string, unknown>;
}
