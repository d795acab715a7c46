// Actions that end in every way that an action can: for tests of what reaches a caller.
import type { Action, HandlerCallback, IAgentRuntime, Memory, Plugin, State } from '@elizaos/core';

type Handler = (callback?: HandlerCallback) => Promise<any>;

function action(name: string, description: string, run: Handler): Action {
  return {
    name,
    description,
    similes: [],
    examples: [],
    validate: async () => true,
    handler: async (_runtime: IAgentRuntime, _message: Memory, _state?: State, _options?: any, callback?: HandlerCallback) =>
      run(callback),
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
    action('TEST_THROWS', 'Throws.', async () => {
      throw new Error('thrown inside the action');
    }),
  ],
};
