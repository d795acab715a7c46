// Actions that end in every way that an action can: for tests of what reaches a caller.
import type { Action, HandlerCallback, IAgentRuntime, Memory, Plugin, State } from '@elizaos/core';
import { note } from './offline-model.ts';

interface Given {
  text: string;
  params: any;
  stream: (piece: string) => Promise<void>;
}
type Handler = (callback: HandlerCallback | undefined, given: Given) => Promise<any>;

function action(name: string, description: string, run: Handler, more: Partial<Action> = {}): Action {
  return {
    name,
    description,
    similes: [],
    examples: [],
    validate: async () => true,
    handler: async (_runtime: IAgentRuntime, message: Memory, state?: State, options?: any, callback?: HandlerCallback) => {
      note('action', name, '');
      const stream = async (piece: string) => options?.onStreamChunk?.(piece);
      return run(callback, { text: message.content.text ?? '', params: state?.data?.actionParams ?? {}, stream });
    },
    ...more,
  };
}

const say = (callback: HandlerCallback | undefined, text: string, actions: string[]) => callback?.({ text, actions });

export const plugin: Plugin = {
  name: 'test-actions',
  description: 'Actions for tests',
  actions: [
    action('TEST_WELL', 'Ends well.', async (callback) => {
      await say(callback, 'the action is done', ['TEST_WELL']);
      return { success: true, text: 'the action is done' };
    }),
    action('TEST_STEPS', 'Says three things, the last of them the result.', async (callback) => {
      for (const step of ['step 1', 'step 2', 'the result of the steps']) await say(callback, step, ['TEST_STEPS']);
      return { success: true, text: 'the result of the steps' };
    }),
    action('TEST_FAILS', 'Says that it failed.', async (callback) => {
      await callback?.({ text: 'the action failed: no such flower', actions: ['TEST_FAILS'], error: true } as any);
      return { success: false, error: new Error('no such flower'), text: 'no such flower' };
    }),
    action('TEST_MARKED', 'Says that it failed in the way of ElizaOS itself, by a name.', async (callback) => {
      await say(callback, 'no such room', ['TEST_MARKED_FAILED']);
      return { success: false, text: 'no such room' };
    }),
    action('TEST_SILENT', 'Ends well, and tells nobody but the runtime.', async () => {
      return { success: true, text: 'done in silence' };
    }),
    action('TEST_MUTE', 'Fails, and tells nobody but the runtime.', async () => {
      return { success: false, text: 'failed in silence' };
    }),
    action('TEST_COUNT', 'Counts to the number in the message, aloud, and says each.', async (callback, { text, stream }) => {
      const last = Number(/\d+/.exec(text)?.[0] ?? 3);
      for (let n = 1; n <= last; n++) {
        await stream(`${n} `);
        await say(callback, `at ${n}`, ['TEST_COUNT']);
      }
      await say(callback, `counted to ${last}`, ['TEST_COUNT']);
      return { success: true, text: `counted to ${last}`, values: { last } };
    }),
    action('TEST_TELL', 'Tells the parameters that it was given.', async (_callback, { params, text }) => {
      return { success: true, text: `${text}: ${params.who} is ${params.age}`, data: { params } };
    }, { parameters: { who: { type: 'string', description: 'Whose age', required: true }, age: { type: 'integer' } } }),
    action('TEST_NEVER', 'Is not possible.', async () => ({ success: true }), { validate: async () => false }),
    action('TEST_THROWS', 'Throws.', async () => {
      throw new Error('thrown inside the action');
    }),
  ],
};
