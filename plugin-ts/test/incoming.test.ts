// How the agent is called and offers itself, where a server or a gateway misbehaves.
import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { DoolittleService } from '../src/eliza.ts';
import { Gateway } from '../src/gateway.ts';
import { written, type Line } from '../src/lines.ts';
import { Registration } from '../src/registration.ts';
import { messages, type Callee, type Response } from '../src/routes.ts';
import { json, runtime, stand, type Stand } from './stand.ts';

const open: { close(): unknown }[] = [];
afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
});

class Reply extends EventEmitter implements Response {
  statusCode = 0;
  writableEnded = false;
  lines: string[] = [];
  setHeader = () => undefined;
  write = (piece: string) => this.lines.push(piece);
  end = (piece = '') => {
    if (piece) this.lines.push(piece);
    this.writableEnded = true;
  };
  get told(): Line[] {
    return this.lines.map((line) => JSON.parse(line) as Line);
  }
}

const ID = '00000000-0000-4000-8000-000000000001';
const body = { message: 'hello', user: ID, room: ID };
const asked = (more = {}) => ({ headers: { authorization: 'Bearer k' }, body: { ...body, ...more } });
const callee = (say: Callee['say']): Callee =>
  ({ key: 'k', capabilities: () => ({}), say, act: (_name, ...rest) => say(...rest), forget: () => Promise.reject(new Error('nobody')) });

describe('a stream', () => {
  it('ends with the real error', async () => {
    const reply = new Reply();
    await messages(asked(), reply, callee(() => Promise.reject(new Error('no flowers'))));
    expect(reply.told).toEqual([{ type: 'error', code: 'failed', message: 'no flowers' }]);
    expect(reply.writableEnded).toBe(true);
  });

  it('ends when the time is up, though the agent does not', async () => {
    const reply = new Reply();
    let signal: AbortSignal | undefined;
    await messages(asked({ timeout: 20 }), reply, callee((_asked, _out, given) => {
      signal = given;
      return new Promise(() => undefined);
    }));
    expect(reply.told.at(-1)).toMatchObject({ type: 'error', code: 'timed_out' });
    expect(signal?.aborted).toBe(true);
  });

  it('shows that it lives while nothing is to be told', async () => {
    vi.useFakeTimers();
    try {
      const reply = new Reply();
      const work = messages(asked(), reply, callee((_asked, out) => new Promise((resolve) => setTimeout(() => {
        out({ type: 'end', mode: 'none', didRespond: true, content: null });
        resolve();
      }, 12_000))));
      await vi.advanceTimersByTimeAsync(12_000);
      await work;
      expect(reply.told.map((line) => line.type)).toEqual(['working', 'working', 'end']);
    } finally {
      vi.useRealTimers();
    }
  });

  it('tells the work when the caller is gone', async () => {
    const reply = new Reply();
    const heard: string[] = [];
    const work = messages(asked(), reply, callee((_asked, out, signal) => new Promise((resolve) => {
      signal.addEventListener('abort', () => {
        heard.push('gone');
        out({ type: 'chunk', text: 'too late' });
        resolve();
      });
    })));
    reply.emit('close');
    await work;
    expect(heard).toEqual(['gone']);
    expect(reply.lines.join('')).not.toContain('too late');
  });

  it.each([undefined, 'k', 'Bearer', 'Bearer ', 'Bearer kk', 'bearer k', ['Bearer k']])('is not for %j', async (authorization) => {
    const say = vi.fn();
    for (const someone of [callee(say), { ...callee(say), key: '' }, null]) {
      const reply = new Reply();
      await messages({ headers: { authorization }, body }, reply, someone);
      expect(reply.statusCode).toBe(401);
    }
    expect(say).not.toHaveBeenCalled();
  });
});

describe('a line', () => {
  it('is JSON, whatever an action gave', () => {
    const round: Record<string, unknown> = { n: 1n };
    expect(JSON.parse(written({ type: 'result', action: 'A', success: true, data: round }))).toMatchObject({ data: { n: '1' } });
    round.self = round;
    expect(JSON.parse(written({ type: 'result', action: 'A', success: true, text: 't', data: round }))).toEqual(
      { type: 'result', action: 'A', success: true, text: 't', cut: true });
    expect(JSON.parse(written({ type: 'message', content: { text: 'm', round } }))).toEqual({ type: 'message', content: { text: 'm' } });
    const long = { type: 'result', action: 'A', success: true, values: 'x'.repeat(2_000_000) } as const;
    expect(written(long).length).toBeLessThan(200);
  });
});

describe('the registration', () => {
  const self = (url: string, probe = '') =>
    ({ name: 'eliza-0000', offer: { network: 'elizaos', url, key: '', options: {} }, probe, key: 'k' });
  const lease = (up: boolean) => ({ name: 'n', seconds: 60, up, agents: [] });

  function registered(far: Stand, lines: string[], probe = ''): Registration {
    const made = new Registration(new Gateway({ url: far.url, key: '', patience: 1_000 }), self(far.url, probe), (line) => lines.push(line));
    made.start();
    open.push(far, { close: () => made.stop() });
    return made;
  }

  it('is taken back on stop, and never if it was not made', async () => {
    const far = await stand((request, response) => {
      if (request.method === 'PUT') json(response, lease(true));
      else response.writeHead(204).end();
    });
    const made = registered(far, []);
    await vi.waitFor(() => { expect(far.seen).toHaveLength(1); });
    await vi.waitFor(async () => {
      await made.stop();
      expect(far.seen.at(-1)).toMatchObject({ method: 'DELETE', url: '/v1/registrations/eliza-0000' });
    });
    const refusing = await stand((_request, response) => { json(response, { code: 'denied', detail: 'no role' }, 403); });
    const lines: string[] = [];
    const never = registered(refusing, lines);
    await vi.waitFor(() => { expect(refusing.seen.length).toBeGreaterThan(1); }, 5_000);
    await never.stop();
    expect(lines).toEqual(['this agent calls, and is not offered: no role']);
    expect(refusing.seen.some((request) => request.method === 'DELETE')).toBe(false);
  });

  it('waits until its own server answers with its own key', async () => {
    let up = false;
    const own = await stand((request, response) => {
      json(response, {}, up && request.headers.authorization === 'Bearer k' ? 200 : 404);
    });
    const far = await stand((_request, response) => { json(response, lease(true)); });
    open.push(own);
    registered(far, [], `${own.url}/doolittle/capabilities`);
    await vi.waitFor(() => { expect(own.seen.length).toBeGreaterThan(1); }, 5_000);
    expect(far.seen).toHaveLength(0);
    up = true;
    await vi.waitFor(() => { expect(far.seen).toHaveLength(1); }, 5_000);
  });

  it('is made by an agent that knows a gateway, unless it is told not to', async () => {
    let offer = '';
    const far = await stand((request, response) => {
      if (request.method !== 'PUT') json(response, []);
      else request.setEncoding('utf8').on('data', (piece: string) => (offer += piece)).on('end', () => { json(response, lease(true)); });
    });
    open.push(far);
    for (const more of [{}, { DOOLITTLE_REGISTER: 'false' }] as Record<string, string>[]) {
      const service = await DoolittleService.start(runtime([], { DOOLITTLE_URL: far.url, DOOLITTLE_ADDRESS: 'http://10.0.0.7:3000/', ...more }));
      expect(service.callee === null).toBe('DOOLITTLE_REGISTER' in more);
      await vi.waitFor(() => { expect(far.seen.some((r) => r.method === 'PUT')).toBe(true); });
      await service.stop();
      expect(service.callee).toBeNull();
    }
    expect(far.seen.filter((r) => r.method === 'PUT')).toHaveLength(1);
    const said = JSON.parse(offer) as { url: string; options: { plugin: { key: string; agents: string[] } } };
    expect(said).toMatchObject({ network: 'elizaos', url: 'http://10.0.0.7:3000', options: { plugin: { agents: [expect.any(String)] } } });
    expect(said.options.plugin.key.length).toBeGreaterThanOrEqual(43);
  });
});

// What is asked of a response stands to node's own.
export const own: (response: ServerResponse) => Response = (response) => response;
