import type { Memory } from '@elizaos/core';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Connection, ranked } from '../src/connection.ts';
import { DoolittleService, tools } from '../src/eliza.ts';
import { Away, Refusal, sentence } from '../src/faults.ts';
import { Gateway, type CallEvent } from '../src/gateway.ts';
import { json, runtime, stand, type Stand } from './stand.ts';

const open: { close(): unknown }[] = [];
afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
});

async function standing(...words: Parameters<typeof stand>): Promise<Stand> {
  const made = await stand(...words);
  open.push(made);
  return made;
}

const problem = (code: string) => ({ type: 'about:blank', title: code, status: 400, detail: `it is ${code}`, code, delivered: 'no' as const });

async function gathered(stream: AsyncIterable<CallEvent>): Promise<CallEvent[]> {
  const all: CallEvent[] = [];
  for await (const event of stream) all.push(event);
  return all;
}

describe('a call', () => {
  const settings = (url: string) => ({ url: `${url}/`, key: 'k', patience: 1_000 });

  it('gives events as they come, however the bytes are cut', async () => {
    const text = ': working\n\nevent: progress\ndata: {"call":"c","message":"ä 1","done":1,"total":2}\n\nevent: result\ndata: {"call":"c","text":"é","content":[]}\n\n';
    const far = await standing((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      for (const byte of Buffer.from(text)) response.write(Buffer.of(byte));
      response.end();
    });
    const events = await gathered(new Gateway(settings(far.url)).call('all__echo', {}, { hops: 'a/b/c' }));
    expect(events.map((event) => event.kind)).toEqual(['progress', 'result']);
    expect(events[1]).toMatchObject({ call: 'c', result: { text: 'é' } });
    expect(far.seen[0]?.headers).toMatchObject({ authorization: 'Bearer k', 'doolittle-hops': 'a/b/c' });
  });

  it.each([
    ['a stream that breaks off', 'event: progress\ndata: {"call":"c"}\n\n'],
    ['a stream that is no JSON', 'event: result\ndata: {\n\n'],
  ])('%s is no answer', async (_name, text) => {
    const far = await standing((_request, response) => response.writeHead(200).end(text));
    await expect(gathered(new Gateway(settings(far.url)).call('x', {}))).rejects.toThrow(Away);
  });

  it('an error in the stream, and one instead of it, are refusals', async () => {
    const said = problem('loop_cut');
    const inside = await standing((_r, response) => response.end(`event: error\ndata: ${JSON.stringify(said)}\n\n`));
    const instead = await standing((_r, response) => {
      json(response, said, 409);
    });
    for (const far of [inside, instead]) {
      const fault: unknown = await gathered(new Gateway(settings(far.url)).call('x', {})).catch((f: unknown) => f);
      expect(fault).toBeInstanceOf(Refusal);
      expect(sentence(fault, 'x')).toContain('in a circle');
    }
  });

  it('a gateway that hangs is left after a while', async () => {
    const far = await standing(() => undefined);
    const gateway = new Gateway({ ...settings(far.url), patience: -2_900 });
    const fault: unknown = await gathered(gateway.call('x', {})).catch((f: unknown) => f);
    expect(sentence(fault, 'x')).toBe('x took too long, so I stopped waiting.');
  });

  it('whoever leaves early hangs up', async () => {
    let gone = false;
    const far = await standing((_request, response) => {
      response.on('close', () => (gone = true));
      response.writeHead(200).write('event: progress\ndata: {"call":"c","message":"1"}\n\n');
    });
    for await (const event of new Gateway(settings(far.url)).call('x', {})) {
      expect(event.kind).toBe('progress');
      break;
    }
    await vi.waitFor(() => {
      expect(gone).toBe(true);
    });
  });
});

describe('the connection', () => {
  it('says once that the gateway is away, once that it is back, and comes back by itself', async () => {
    const first = await standing((_request, response) => {
      json(response, []);
    });
    await first.close();
    const lines: string[] = [];
    const connection = new Connection({ url: first.url, key: '', patience: 1_000 }, (line) => lines.push(line));
    open.push({ close: () => { connection.stop(); } });
    connection.start();
    await vi.waitFor(() => {
      expect(lines).toHaveLength(1);
    });
    await expect(connection.gateway.agents()).rejects.toThrow(Away);
    expect(lines).toHaveLength(1);
    const { createServer } = await import('node:http');
    const again = createServer((_request, response) => { json(response, []); });
    await new Promise<void>((resolve) => again.listen(Number(new URL(first.url).port), '127.0.0.1', resolve));
    open.push({ close: () => { again.close(); again.closeAllConnections(); } });
    await vi.waitFor(() => {
      expect(lines).toHaveLength(2);
    }, 10_000);
    expect(lines[1]).toContain('answers again');
  });

  it('a key that is refused is said as such', async () => {
    const far = await standing((_request, response) => {
      json(response, problem('unauthenticated'), 401);
    });
    const lines: string[] = [];
    const connection = new Connection({ url: far.url, key: 'no', patience: 1_000 }, (line) => lines.push(line));
    open.push({ close: () => { connection.stop(); } });
    connection.start();
    await vi.waitFor(() => {
      expect(lines[0]).toContain('does not accept DOOLITTLE_KEY');
    });
  });

  it('the service starts at once, though the gateway hangs', async () => {
    const far = await standing(() => undefined);
    const agent = runtime([], { DOOLITTLE_URL: far.url });
    const began = performance.now();
    const service = await DoolittleService.start(agent);
    expect(performance.now() - began).toBeLessThan(50);
    await service.stop();
  });

  it('the provider answers at once, first from the catalogue, then as the gateway searched', async () => {
    const tool = (name: string, description: string) => ({ name, agent: 'a', description });
    const far = await standing((request, response) => {
      const query = new URL(request.url ?? '', 'http://x').searchParams.get('q');
      if (request.url === '/v1/agents') json(response, []);
      else if (query === null) json(response, [tool('a__count', 'Counts words.'), tool('a__sing', 'Sings.')]);
      else setTimeout(() => { json(response, [tool('a__sing', 'Sings.')]); }, 1_500);
    });
    const agent = runtime([], { DOOLITTLE_URL: far.url });
    const service = await DoolittleService.start(agent);
    open.push({ close: () => service.stop() });
    vi.spyOn(agent, 'getService').mockReturnValue(service as never);
    await vi.waitFor(() => {
      expect(service.connection?.tools).toHaveLength(2);
    });
    const get = async () => {
      const began = performance.now();
      const given = await tools.get(agent, { content: { text: 'how many words?' } } as Memory, { values: {}, data: {}, text: '' });
      expect(performance.now() - began).toBeLessThan(50);
      return given.values?.doolittleTools;
    };
    expect(await get()).toBe('a__count');
    await vi.waitFor(async () => {
      expect(await get()).toBe('a__sing');
    }, 5_000);
    expect(far.seen.filter((request) => request.url?.includes('q='))).toHaveLength(1);
  });

  it.each(['', 'not an address'])('without an address (%j) there is no connection, and no fault', async (url) => {
    const service = await DoolittleService.start(runtime([], { DOOLITTLE_URL: url }));
    expect(service.connection).toBeNull();
    await service.stop();
  });
});

it('tools are ranked by the words that they share, rare ones first', () => {
  const tool = (name: string, description: string) => ({ name, agent: 'a', description });
  const tools = [tool('a__one', 'Does things.'), tool('a__two', 'Counts things.'), tool('a__three', 'Translates things into French.')];
  expect(ranked(tools, 'Please translates these things!').map((t) => t.name)).toEqual(['a__three', 'a__one', 'a__two']);
  expect(ranked(tools, 'zyzzyva')).toEqual([]);
});
