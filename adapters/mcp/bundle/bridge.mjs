// Messages of a client on standard input and output, carried over streamable HTTP to a Doolittle gateway: both eras, as
// they are. The same rules as adapters/mcp/bridge.py. Node alone, nothing else. Logs go to standard error.
//
//   DOOLITTLE_URL   the gateway, such as http://127.0.0.1:8700, or one of its MCP paths
//   DOOLITTLE_KEY   a key, where the gateway wants one
import http from 'node:http';
import https from 'node:https';

const VERSION = 'io.modelcontextprotocol/protocolVersion';
const NAMED = { 'tools/call': 'name', 'prompts/get': 'name', 'resources/read': 'uri' };
const CONNECT = 10_000; // milliseconds for a connection; an answer may take as long as it takes
const NOTE = 10_000; // for a notification: later messages wait for it
const BYE = 2_000; // for the end of the session, when the client has gone
const GRACE = 1_000; // for running requests, when the client has gone
const INITIALIZED = '{"jsonrpc":"2.0","method":"notifications/initialized"}';

// A setting that was left blank reaches us as its own name.
const setting = (name, otherwise) => {
  const said = (process.env[name] ?? '').trim();
  return said && !said.startsWith('${') ? said : otherwise;
};
const url = endpoint(setting('DOOLITTLE_URL', 'http://127.0.0.1:8700'));
const key = setting('DOOLITTLE_KEY', '');
const wire = url.protocol === 'https:' ? https : http;
const agent = new wire.Agent({ keepAlive: true });
const fixed = { accept: 'application/json, text/event-stream', 'content-type': 'application/json' };
if (key) fixed.authorization = `Bearer ${key}`;

const marks = new Map(); // tool -> [path of an argument, token of its header]
const running = new Map(); // id of a request -> { abort, modern, done }
let greeting = ''; // the client's initialize, to begin a session anew
let version = '';
let session = '';
let renewing = null;
let listening = null;

class Trouble extends Error {}
class Gone extends Trouble {}

function endpoint(said) {
  const found = new URL(said);
  if (found.pathname === '/') found.pathname = '/mcp';
  return found;
}

const log = (text) => process.stderr.write(`doolittle bridge: ${text}\n`);
const put = (raw) => process.stdout.write(raw.replace(/[\r\n]+/g, ' ') + '\n');
const refuse = (id, code, message) => put(JSON.stringify({ jsonrpc: '2.0', id, error: { code, message } }));
const object = (value) => (value && typeof value === 'object' && !Array.isArray(value) ? value : {});
const wait = (ms, signal) =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true });
  });
const loaded = (raw) => {
  try {
    return JSON.parse(raw);
  } catch {
    return undefined;
  }
};

// ---- what a message says of itself in headers -----------------------------------------------------------------------

const modern = (message) => {
  const said = object(object(object(message).params)._meta)[VERSION];
  return typeof said === 'string' ? said : '';
};

function encoded(value) {
  if (/^[\x20-\x7e]*$/.test(value) && value === value.trim() && !/^=\?base64\?.*\?=$/.test(value)) return value;
  return `=?base64?${Buffer.from(value, 'utf8').toString('base64')}?=`;
}

function* marked(schema, path) {
  for (const [name, said] of Object.entries(object(object(schema).properties))) {
    const token = object(said)['x-mcp-header'];
    if (typeof token === 'string' && /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(token)) yield [[...path, name], token];
    if (path.length < 32) yield* marked(said, [...path, name]);
  }
}

function learn(result) {
  const tools = object(result).tools;
  for (const tool of Array.isArray(tools) ? tools : []) {
    const { name, inputSchema } = object(tool);
    if (typeof name === 'string') marks.set(name, [...marked(inputSchema, [])]);
  }
}

function headers(message) {
  if (modern(message)) return { ...fixed, ...mirrored(message) };
  const said = { ...fixed };
  if (message.method !== 'initialize') {
    if (session) said['mcp-session-id'] = session;
    if (version) said['mcp-protocol-version'] = version;
  }
  return said;
}

function mirrored(message) {
  const said = { 'mcp-protocol-version': modern(message), 'mcp-method': String(message.method) };
  const params = object(message.params);
  const name = params[NAMED[message.method]];
  if (typeof name !== 'string') return said;
  said['mcp-name'] = encoded(name);
  for (const [path, token] of message.method === 'tools/call' ? (marks.get(name) ?? []) : []) {
    const value = path.reduce((at, part) => object(at)[part], params.arguments);
    if (['string', 'number', 'boolean'].includes(typeof value)) said[`mcp-param-${token}`] = encoded(String(value));
  }
  return said;
}

// ---- the wire -------------------------------------------------------------------------------------------------------

// The response, when its head is there.
function open(method, body, said, signal) {
  return new Promise((resolve, reject) => {
    const length = body === undefined ? {} : { 'content-length': Buffer.byteLength(body) };
    const request = wire.request(url, { method, headers: { ...said, ...length }, agent, signal }, resolve);
    request.on('socket', (socket) => {
      if (!socket.connecting) return;
      const timer = setTimeout(() => request.destroy(Object.assign(new Error(), { code: 'ETIMEDOUT' })), CONNECT);
      socket.once(url.protocol === 'https:' ? 'secureConnect' : 'connect', () => clearTimeout(timer));
      socket.once('close', () => clearTimeout(timer));
    });
    request.on('error', (fault) => reject(signal?.aborted ? fault : trouble(fault)));
    request.end(body);
  });
}

const AWAY = ['ECONNREFUSED', 'ETIMEDOUT', 'ENOTFOUND', 'EHOSTUNREACH', 'ENETUNREACH', 'EAI_AGAIN'];
function trouble(fault) {
  const code = fault.code ?? fault.errors?.[0]?.code;
  if (AWAY.includes(code)) {
    return new Trouble(`the gateway at ${url.origin} does not answer; start it with: doolittle serve`);
  }
  return new Trouble(`the connection to the gateway at ${url.origin} broke: ${code ?? fault.message}`);
}

async function* text(response, signal) {
  response.setEncoding('utf8');
  try {
    for await (const chunk of response) yield chunk;
  } catch (fault) {
    throw signal?.aborted ? fault : trouble(fault);
  }
}

async function* events(response, signal) {
  let pending = [];
  let data = [];
  for await (const chunk of text(response, signal)) {
    const [first, ...rest] = chunk.split('\n');
    pending.push(first);
    for (const piece of rest) {
      const line = pending.join('').replace(/\r$/, '');
      pending = [piece];
      if (line.startsWith('data:')) data.push(line.slice(line[5] === ' ' ? 6 : 5));
      else if (line === '' && data.length) {
        const whole = data.join('\n');
        data = [];
        if (whole) yield whole;
      }
    }
  }
}

async function* messages(response, signal) {
  const kind = (response.headers['content-type'] ?? '').split(';')[0].trim().toLowerCase();
  if (kind === 'text/event-stream' && response.statusCode === 200) {
    yield* events(response, signal);
    return;
  }
  let body = '';
  for await (const chunk of text(response, signal)) body += chunk;
  const said = kind.endsWith('json') ? loaded(body) : undefined;
  if (object(said).jsonrpc === '2.0' && said.id !== undefined && said.id !== null) yield body;
  else if (response.statusCode >= 400) {
    const why = object(object(said).error).message ?? object(said).detail ?? 'nothing that this bridge understands';
    throw new Trouble(`the gateway at ${url.origin} answered ${response.statusCode}: ${why}`);
  }
}

// Posts one message, and gives on what comes back. Whether its answer was among it.
async function post(message, line, give, signal) {
  const before = session;
  const response = await open('POST', line, headers(message), signal);
  if (response.statusCode === 404 && before && !modern(message)) {
    response.resume();
    throw new Gone(`the gateway at ${url.origin} does not know this session`);
  }
  if (message.method === 'initialize') session = response.headers['mcp-session-id'] ?? '';
  let answered = false;
  for await (const raw of messages(response, signal)) {
    answered = seen(message, raw) || answered;
    give(raw);
  }
  return answered;
}

// Whether it is the answer to the message; takes from it what later requests need.
function seen(message, raw) {
  const said = object(loaded(raw));
  if (said.method !== undefined || message.id === undefined || said.id !== message.id) return false;
  if (message.method === 'initialize' && said.result) version = String(said.result.protocolVersion ?? '');
  else if (message.method === 'tools/list') learn(said.result);
  return true;
}

// Posts; once more with a new session, if the gateway has forgotten this one.
async function renewed(message, line, signal) {
  const before = session;
  try {
    return await post(message, line, put, signal);
  } catch (fault) {
    if (!(fault instanceof Gone)) throw fault;
    if (session === before) renewing ??= renew().finally(() => (renewing = null));
    await renewing;
    return await post(message, line, put, signal);
  }
}

async function renew() {
  session = '';
  await post(JSON.parse(greeting), greeting, () => {});
  await post({}, INITIALIZED, put);
  listen();
}

// The session's own stream, as long as the gateway offers it.
function listen() {
  listening?.abort();
  const { signal } = (listening = new AbortController());
  follow(signal).catch((fault) => signal.aborted || log(fault.message));
}

async function follow(signal) {
  for (let pause = 1000; !signal.aborted; pause = Math.min(2 * pause, 30_000)) {
    try {
      const response = await open('GET', undefined, headers({}), signal);
      if (response.statusCode !== 200) {
        response.resume();
        return; // not offered; or forgotten, and then the next request begins anew
      }
      pause = 1000;
      for await (const data of events(response, signal)) put(data);
    } catch (fault) {
      if (!(fault instanceof Trouble)) throw fault;
    }
    await wait(pause, signal);
  }
}

// ---- the client -----------------------------------------------------------------------------------------------------

async function take(line) {
  const said = loaded(line);
  if (said === undefined) refuse(null, -32700, 'this line is not JSON');
  else if (Array.isArray(said)) for (const one of said) await takeOne(one, JSON.stringify(one));
  else await takeOne(said, line);
}

async function takeOne(message, line) {
  if (!message || typeof message !== 'object') refuse(null, -32600, 'a message is an object');
  else if (message.method === undefined || message.id === undefined) await note(message, line);
  else {
    const name = JSON.stringify(message.id);
    const control = new AbortController();
    const done = request(message, line, control.signal).finally(() => running.delete(name));
    running.set(name, { control, modern: Boolean(modern(message)), done });
    if (message.method === 'initialize') await done;
  }
}

// A notification, or an answer to the gateway's own request: in order, and never answered.
async function note(message, line) {
  if (message.method === 'notifications/cancelled' && cancelled(message)) return;
  if (!greeting) return; // the modern era has none over HTTP
  try {
    await renewed(message, line, AbortSignal.timeout(NOTE));
  } catch (fault) {
    log(`'${message.method ?? 'an answer'}' was not delivered: ${fault.message}`);
  }
  if (message.method === 'notifications/initialized') listen();
}

// Closes the stream of a request of the modern era, which is how it is cancelled.
function cancelled(message) {
  const found = running.get(JSON.stringify(object(message.params).requestId));
  if (!found?.modern) return false;
  found.control.abort();
  return true;
}

async function request(message, line, signal) {
  if (message.method === 'initialize') [greeting, session, version] = [line, '', ''];
  try {
    if (!(await renewed(message, line, signal))) {
      throw new Trouble(`the gateway at ${url.origin} broke off before it answered`);
    }
  } catch (fault) {
    if (!signal.aborted) refuse(message.id, -32603, fault.message);
  }
}

let ending = false;
async function end(grace) {
  if (ending) return;
  ending = true;
  await Promise.race([Promise.allSettled([...running.values()].map((one) => one.done)), wait(grace)]);
  for (const one of running.values()) one.control.abort();
  listening?.abort();
  if (session) await open('DELETE', undefined, headers({}), AbortSignal.timeout(BYE)).catch(() => {});
  process.stdout.write('', () => process.exit(0));
}

process.stdout.on('error', () => process.exit(0)); // nobody is left to hear the answers
for (const name of ['SIGTERM', 'SIGINT']) process.on(name, () => end(0));
let pending = [];
let turn = Promise.resolve();
process.stdin.setEncoding('utf8');
process.stdin.on('data', (chunk) => {
  const [first, ...rest] = chunk.split('\n');
  pending.push(first);
  for (const piece of rest) {
    const line = pending.join('').trim();
    pending = [piece];
    if (line) turn = turn.then(() => take(line));
  }
});
process.stdin.on('end', () => {
  const line = pending.join('').trim();
  if (line) turn = turn.then(() => take(line));
  Promise.race([turn, wait(GRACE)]).then(() => end(GRACE));
});
