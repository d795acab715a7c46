// A client of A2A in JavaScript, by the official SDK: node client.mjs CARD-URL BINDING TEXT
// Sends a text, streamed, and prints what came as one JSON document.
import { randomUUID } from 'node:crypto';
import { Role } from '@a2a-js/sdk';
import { ClientFactory, ClientFactoryOptions } from '@a2a-js/sdk/client';

const [url, binding, text] = process.argv.slice(2);
const options = ClientFactoryOptions.createFrom(ClientFactoryOptions.default, { preferredTransports: [binding] });
const client = await new ClientFactory(options).createFromUrl(url, '');
const message = {
  messageId: randomUUID(), contextId: '', taskId: '', role: Role.ROLE_USER, metadata: undefined, extensions: [], referenceTaskIds: [],
  parts: [{ content: { $case: 'text', value: text }, metadata: undefined, filename: '', mediaType: '' }],
};
const events = [];
for await (const event of client.sendMessageStream({ message, configuration: undefined, metadata: undefined, tenant: '' })) {
  events.push(event.payload.$case);
  if (event.payload.$case === 'artifactUpdate') {
    const { artifact } = event.payload.value;
    events.push(artifact.parts.map((part) => part.content.value).join(''));
  }
}
console.log(JSON.stringify({ events }));
