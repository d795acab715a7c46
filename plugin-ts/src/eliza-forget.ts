// What the runtime keeps of people, removed; beside eliza.ts and eliza-run.ts, the third file that touches it.
//
// The database's own rules take along what hangs on a room or a person: memories of every kind, embeddings, components,
// relationships. The interface of the core has no word to delete a person; plugin-sql has, and where a database has none,
// what stays is said.
import type { IAgentRuntime, Memory, UUID } from '@elizaos/core';
import { isObject } from './choose.ts';
import { unprepared } from './eliza-run.ts';
import type { Forgotten } from './routes.ts';

/** Kinds of memory that are looked through in rooms where others are too. */
const KINDS = ['messages', 'facts', 'memories', 'documents', 'knowledge'];

/** The people of these ids, as this agent knows them; of rooms that they shared with others, their own part. */
export async function forget(runtime: IAgentRuntime, users: string[]): Promise<Forgotten> {
  const gone: Forgotten = { people: 0, rooms: 0, memories: 0, left: [] };
  for (const user of users as UUID[]) await person(runtime, user, new Set(users), gone);
  return gone;
}

async function person(runtime: IAgentRuntime, user: UUID, users: Set<string>, gone: Forgotten): Promise<void> {
  unprepared(runtime, user);
  for (const room of await runtime.getRoomsForParticipant(user)) {
    const others = (await runtime.getParticipantsForRoom(room)).filter((id) => id !== runtime.agentId && !users.has(id));
    if (others.length) await leave(runtime, user, room, gone);
    else {
      await runtime.deleteRoom(room);
      await runtime.deleteCache(`${room}-reflection-last-processed`);
      gone.rooms += 1;
    }
  }
  if (!(await runtime.getEntityById(user))) return;
  gone.people += 1;
  const adapter: unknown = Reflect.get(runtime, 'adapter');
  if (isObject(adapter) && typeof adapter.deleteEntity === 'function') {
    await (adapter.deleteEntity as (id: UUID) => Promise<void>).call(adapter, user);
  } else gone.left.push('the person itself and its relationships: this database cannot delete them');
}

/** Theirs, out of a room where others stay. What the agent answered there is part of what the others heard. */
async function leave(runtime: IAgentRuntime, user: UUID, room: UUID, gone: Forgotten): Promise<void> {
  for (const tableName of KINDS) {
    const kept = await runtime.getMemories({ tableName, roomId: room, count: 100_000 });
    const theirs = kept.filter((memory) => memory.entityId === user).map((memory: Memory) => memory.id as UUID);
    if (theirs.length) await runtime.deleteManyMemories(theirs);
    gone.memories += theirs.length;
  }
  await runtime.removeParticipant(user, room);
}
