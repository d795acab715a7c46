import { expect, it } from 'vitest';
import { worded } from '../src/analyze.ts';
import type { Tool } from '../src/gateway.ts';

const context = {
  character: { name: 'Eliza', bio: ['Sells flowers.'], system: 'Be brief.' },
  recent: [{ who: 'user', text: 'Good evening.' }],
  facts: ['It rains.'],
};
const tool = (properties: Record<string, unknown>) => ({ input_schema: { type: 'object', properties } }) as unknown as Tool;

it('fills the names that the tool has', () => {
  const full = tool({ task: { type: 'string' }, context: { type: 'object' }, framework: { type: 'string' } });
  expect(worded(full, 'Count.', context, 'crewai')).toEqual({ task: 'Count.', context, framework: 'crewai' });
});

it('tells an agent that only hears messages all in one', () => {
  const args = worded(tool({ message: { type: 'string' } }), 'Count.', context, 'crewai');
  expect(Object.keys(args)).toEqual(['message']);
  for (const words of ['Count.', 'Sells flowers.', 'user: Good evening.', '- It rains.']) expect(args.message).toContain(words);
});
