// An A2A agent in JavaScript, by the official SDK: it says a text backwards, a word at a time.
// node agent.mjs [PORT]; prints {"ready": URL}. It ends when its standard input does.
import express from 'express';
import { Role, TaskState } from '@a2a-js/sdk';
import { AgentEvent, DefaultRequestHandler, InMemoryTaskStore } from '@a2a-js/sdk/server';
import { UserBuilder, agentCardHandler, jsonRpcHandler, restHandler } from '@a2a-js/sdk/server/express';

const part = (text) => ({ content: { $case: 'text', value: text }, metadata: undefined, filename: '', mediaType: '' });
const status = (state, message) => ({ state, message, timestamp: new Date().toISOString() });

class Backwards {
  async execute(context, bus) {
    const ids = { taskId: context.taskId, contextId: context.contextId };
    const said = context.userMessage.parts.map((one) => (one.content?.$case === 'text' ? one.content.value : '')).join(' ');
    bus.publish(
      AgentEvent.task({
        id: context.taskId, contextId: context.contextId, status: status(TaskState.TASK_STATE_SUBMITTED), artifacts: [],
        history: [context.userMessage], metadata: undefined,
      }),
    );
    bus.publish(AgentEvent.statusUpdate({ ...ids, status: status(TaskState.TASK_STATE_WORKING), metadata: undefined }));
    const words = said.split(' ').reverse();
    words.forEach((word, index) => {
      const artifact = { artifactId: 'said', name: 'said', description: '', parts: [part(index ? ` ${word}` : word)], metadata: undefined, extensions: [] };
      bus.publish(AgentEvent.artifactUpdate({ ...ids, artifact, append: index > 0, lastChunk: index === words.length - 1, metadata: undefined }));
    });
    bus.publish(AgentEvent.statusUpdate({ ...ids, status: status(TaskState.TASK_STATE_COMPLETED), metadata: undefined }));
    bus.finished();
  }

  cancelTask = async () => {};
}

const app = express();
const server = app.listen(Number(process.argv[2] ?? 0), '127.0.0.1', () => {
  const url = `http://127.0.0.1:${server.address().port}`;
  const face = (path, protocolBinding) => ({ url: url + path, protocolBinding, protocolVersion: '1.0', tenant: '' });
  const card = {
    name: 'Backwards', description: 'Says it backwards.', version: '1.0.0', provider: undefined, documentationUrl: '',
    supportedInterfaces: [face('/rpc', 'JSONRPC'), face('/rest', 'HTTP+JSON')],
    capabilities: { streaming: true, pushNotifications: false, extensions: [], extendedAgentCard: false },
    securitySchemes: {}, securityRequirements: [], defaultInputModes: ['text/plain'], defaultOutputModes: ['text/plain'],
    skills: [{ id: 'backwards', name: 'Backwards', description: 'Says it backwards.', tags: ['words'], examples: ['one two'],
      inputModes: [], outputModes: [], securityRequirements: [] }],
    signatures: [], iconUrl: '',
  };
  const handler = new DefaultRequestHandler(card, new InMemoryTaskStore(), new Backwards());
  const given = { requestHandler: handler, userBuilder: UserBuilder.noAuthentication };
  app.use('/.well-known/agent-card.json', agentCardHandler({ agentCardProvider: handler }));
  app.use('/rpc', jsonRpcHandler(given));
  app.use('/rest', restHandler(given));
  console.log(JSON.stringify({ ready: url }));
});
process.stdin.resume().on('end', () => process.exit(0));
void Role;
