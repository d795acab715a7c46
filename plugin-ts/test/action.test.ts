// The actions, as the real runtime runs them, against a gateway that tells what it was asked.
import type { HandlerCallback, Memory, State, UUID } from '@elizaos/core';
import { afterEach, expect, it, vi } from 'vitest';
import { DoolittleService } from '../src/eliza.ts';
import { plugin } from '../src/index.ts';
import { json, runtime, stand, type Stand } from './stand.ts';

const ID = '00000000-0000-4000-8000-000000000001' as UUID;
const open: { close(): unknown }[] = [];
afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
});

async function agent(): Promise<{ far: Stand; run: (data: State['data'], more?: Partial<Memory>) => Promise<string[]> }> {
  const tool = { name: 'a__say', agent: 'a', description: 'Says it.', input_schema: {} };
  const far = await stand((request, response) => {
    if (request.method === 'POST') response.end('event: result\ndata: {"call":"c","text":"said","content":[]}\n\n');
    else if (request.url === '/v1/tools/a__say') json(response, tool);
    else json(response, []);
  });
  const made = runtime([plugin], { DOOLITTLE_URL: far.url });
  const service = await DoolittleService.start(made);
  open.push(far, { close: () => service.stop() });
  vi.spyOn(made, 'getService').mockReturnValue(service as never);
  const run = async (data: State['data'], more: Partial<Memory> = {}) => {
    const message: Memory = { entityId: ID, roomId: ID, content: { text: 'say it' }, ...more };
    const heard: string[] = [];
    const callback: HandlerCallback = (content) => {
      heard.push(content.text ?? '');
      return Promise.resolve([]);
    };
    const action = made.actions.find((known) => known.name === 'CALL_AGENT');
    await action?.handler(made, message, { values: {}, data, text: '' }, undefined, callback);
    return heard;
  };
  return { far, run };
}

const calls = (far: Stand) => far.seen.filter((request) => request.method === 'POST');

it('the chain that led to the message is sent on', async () => {
  const { far, run } = await agent();
  const metadata = { type: 'message', doolittle: { hops: 'c1/eliza/ask' } } as unknown as NonNullable<Memory['metadata']>;
  expect(await run({ actionParams: { tool: 'a__say' } }, { metadata })).toEqual(['said']);
  expect(await run({ actionParams: { tool: 'a__say' } })).toEqual(['said']);
  expect(calls(far).map((request) => request.headers['doolittle-hops'])).toEqual(['c1/eliza/ask', undefined]);
});

it('parameters that the core left standing from the step before are not taken again', async () => {
  const { far, run } = await agent();
  const data = { actionParams: { tool: 'a__say' } };
  expect(await run(data)).toEqual(['said']);
  expect(await run({ ...data })).toEqual(['I could not tell which agent to call.']);
  expect(calls(far)).toHaveLength(1);
});
