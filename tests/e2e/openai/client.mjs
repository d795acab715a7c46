// The official client of JavaScript: node client.mjs URL MODEL
// Holds a streamed conversation of two messages, and prints what came as one JSON document.
import OpenAI from 'openai';

const [baseURL, model] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: 'none', maxRetries: 0 });
const models = (await client.models.list()).data.map((one) => one.id);
const messages = [];
const answers = [];
for (const content of ['!talk Freddy', '!talk Pickering']) {
  messages.push({ role: 'user', content });
  const pieces = [];
  for await (const chunk of await client.chat.completions.create({ model, messages, stream: true })) {
    const piece = chunk.choices[0]?.delta?.content;
    if (piece) pieces.push(piece);
  }
  answers.push(pieces);
  messages.push({ role: 'assistant', content: pieces.join('') });
}
const unknown = await client.chat.completions.create({ model: 'nobody', messages: [{ role: 'user', content: 'hi' }] }).then(
  () => 'no error',
  (error) => `${error.status} ${error.code}`,
);
console.log(JSON.stringify({ models, answers, unknown }));
