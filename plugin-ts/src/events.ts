// Server-sent events, as far as the gateway speaks them.

/** Name and document of each event. Throws where the stream breaks off or holds no JSON. */
export async function* events(response: Response): AsyncGenerator<[string, Record<string, unknown>]> {
  if (!response.body) return;
  const decoder = new TextDecoder();
  const pieces: string[] = [];
  let last = '';
  for await (const bytes of response.body) {
    const piece = decoder.decode(bytes as Uint8Array, { stream: true });
    pieces.push(piece);
    if (!(last + piece).includes('\n\n')) {
      last = piece.slice(-1) || last;
      continue;
    }
    const blocks = pieces.join('').split('\n\n');
    const rest = blocks.pop() ?? '';
    pieces.splice(0, pieces.length, rest);
    last = rest.slice(-1);
    for (const block of blocks) {
      const found = event(block);
      if (found) yield found;
    }
  }
}

function event(block: string): [string, Record<string, unknown>] | null {
  let name = '';
  const data: string[] = [];
  for (const line of block.split('\n')) {
    if (line.startsWith('event:')) name = line.slice(6).trim();
    else if (line.startsWith('data:')) data.push(line.slice(5).trimStart());
  }
  return name && data.length ? [name, JSON.parse(data.join('\n')) as Record<string, unknown>] : null;
}
