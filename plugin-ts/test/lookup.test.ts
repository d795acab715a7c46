// The runtime looks actions up by parts of names: ours are found, and never in place of another's.
import type { Action, Memory, Plugin, UUID } from '@elizaos/core';
import { describe, expect, it } from 'vitest';
import { plugin } from '../src/index.ts';
import { runtime } from './stand.ts';

/** Actions of plugin-bootstrap 1.7.2 and others, each with its similes. */
const OTHERS = [
  ['REPLY', 'GREET', 'REPLY_TO_MESSAGE', 'SEND_REPLY', 'RESPOND', 'RESPONSE'],
  ['FOLLOW_ROOM', 'FOLLOW_CHAT', 'FOLLOW_CHANNEL', 'FOLLOW_CONVERSATION', 'FOLLOW_THREAD'],
  ['IGNORE', 'STOP_TALKING', 'STOP_CHATTING', 'STOP_CONVERSATION'],
  ['NONE', 'NO_ACTION', 'NO_RESPONSE', 'NO_REACTION'],
  ['MUTE_ROOM', 'MUTE_CHAT', 'MUTE_CONVERSATION', 'MUTE_THREAD', 'MUTE_CHANNEL'],
  ['SEND_MESSAGE', 'DM', 'MESSAGE', 'SEND_DM', 'POST_MESSAGE'],
  ['UPDATE_CONTACT', 'UPDATE_ENTITY'],
  ['CHOOSE_OPTION', 'SELECT_OPTION', 'SELECT', 'PICK', 'CHOOSE'],
  ['UPDATE_ROLE', 'CHANGE_ROLE', 'SET_PERMISSIONS', 'ASSIGN_ROLE', 'MAKE_ADMIN'],
  ['UPDATE_SETTINGS', 'UPDATE_SETTING', 'SAVE_SETTING', 'SET_CONFIGURATION', 'CONFIGURE'],
  ['GENERATE_IMAGE', 'DRAW', 'CREATE_IMAGE', 'RENDER_IMAGE', 'VISUALIZE'],
  ['SEARCH_CONTACTS'], ['ADD_CONTACT'], ['SCHEDULE_FOLLOW_UP'], ['CALL_MCP_TOOL'], ['READ_MCP_RESOURCE'], ['ANALYZE'],
];
const ID = '00000000-0000-4000-8000-000000000001' as UUID;

/** The action that the real runtime runs for this name. */
async function found(name: string, order: 'first' | 'last' | 'off'): Promise<string> {
  const ran: string[] = [];
  const spy = (action: Action): Action => ({
    ...action,
    handler: () => {
      ran.push(action.name);
      return Promise.resolve({ success: true, text: '' });
    },
  });
  const others: Plugin = {
    name: 'others',
    description: '',
    actions: OTHERS.map(([other, ...similes]) =>
      spy({ name: other ?? '', similes, description: '', validate: () => Promise.resolve(true), handler: () => Promise.resolve() }),
    ),
  };
  const ours: Plugin = { ...plugin, actions: (plugin.actions ?? []).map(spy) };
  const agent = runtime({ first: [ours, others], last: [others, ours], off: [others] }[order]);
  const message: Memory = { id: ID, entityId: ID, roomId: ID, content: { text: '' } };
  const chosen: Memory = { ...message, content: { text: '', actions: [name] } };
  await agent.processActions(message, [chosen], { values: {}, data: {}, text: '' });
  return ran[0] ?? '';
}

describe.each(['first', 'last'] as const)('the plugin stands %s', (order) => {
  it.each(OTHERS.flat())('%s runs what it ran without it', async (said) => {
    expect(await found(said, order)).toBe(await found(said, 'off'));
  });

  const own = (plugin.actions ?? []).map((action) => action.name);
  it.each(own)('%s is found by its name', async (name) => {
    expect(await found(name, order)).toBe(name);
    expect(await found(name.toLowerCase(), order)).toBe(name);
  });
});

it('its own names and similes are not part of one another', () => {
  const words = (plugin.actions ?? []).flatMap((a) => [a.name, ...(a.similes ?? [])].map((word) => [a.name, word.replaceAll('_', '')] as const));
  for (const [owner, word] of words) {
    for (const [other, another] of words) if (owner !== other) expect(another.includes(word), `${word} in ${another}`).toBe(false);
  }
});
