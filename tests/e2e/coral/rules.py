"""What a Coral session keeps and refuses: agents, threads, messages, waits. Nothing of the wire is here.

Part of the stand-in for a coral-server 1.2: it says no where that says no, with the same numbers.
"""

import asyncio
import secrets
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

MOST = 60_000
"""Milliseconds of one wait at most."""


class Refusal(Exception):
    """`status` is what REST answers."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Clock:
    """Nanoseconds since the epoch; a test may hold it."""

    def __init__(self) -> None:
        self.held: int | None = None

    def now(self) -> int:
        return time.time_ns() if self.held is None else self.held

    def iso(self, at: int) -> str:
        """As Kotlin writes an instant: up to nine digits, and Z."""
        whole = datetime.fromtimestamp(at // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{whole}.{at % 10**9:09d}Z" if at % 10**9 else f"{whole}Z"


@dataclass(frozen=True, slots=True)
class Message:
    id: str
    thread: str
    sender: str
    text: str
    mentions: tuple[str, ...]
    at: int

    def document(self, clock: Clock) -> dict[str, Any]:
        return {
            "id": self.id, "threadId": self.thread, "text": self.text, "senderName": self.sender,
            "mentionNames": list(self.mentions), "timestamp": clock.iso(self.at),
        }  # fmt: skip


@dataclass(slots=True)
class Thread:
    id: str
    name: str
    creator: str
    participants: set[str]
    at: int
    messages: list[Message] = field(default_factory=list[Message])
    closed: str | None = None

    def document(self, clock: Clock) -> dict[str, Any]:
        state: dict[str, Any] = {"state": "open"}
        if self.closed is not None:
            state = {"state": "closed", "summary": self.closed, "timestamp": clock.iso(self.at)}
        return {
            "id": self.id, "name": self.name, "creatorName": self.creator, "participants": sorted(self.participants),
            "messages": [m.document(clock) for m in self.messages], "state": state, "timestamp": clock.iso(self.at),
        }  # fmt: skip

    def brief(self, clock: Clock) -> dict[str, Any]:
        """As agents read it in the state resource: a closed one has no messages, and messages have no ids."""
        said: dict[str, Any] = {
            "threadId": self.id, "threadName": self.name, "owningAgentName": self.creator,
            "participatingAgents": sorted(self.participants),
        }  # fmt: skip
        if self.closed is not None:
            return {**said, "state": "closed", "summary": self.closed}
        return {**said, "state": "open", "messages": [_brief(m, clock) for m in self.messages]}


def _brief(message: Message, clock: Clock) -> dict[str, Any]:
    said: dict[str, Any] = {"messageText": message.text, "sendingAgentName": message.sender}
    said["messageTimestamp"] = clock.iso(message.at)
    return {**said, "mentionAgentNames": list(message.mentions)} if message.mentions else said


Wanted = Callable[[Message], bool]


class SessionAgent:
    """One agent of a session. Its secret is what it is known by at the MCP face."""

    def __init__(self, session: "Session", name: str, about: dict[str, Any]) -> None:
        self.session = session
        self.name = name
        self.about = about
        self.secret = str(uuid.uuid4())
        self.links: set[str] = set()
        self.connected = False
        self.presence = "waiting"
        self._waiters: list[tuple[Wanted, asyncio.Future[Message]]] = []

    # -- what it does ---------------------------------------------------------------------------------------------

    def create_thread(self, name: str, participants: Iterable[str]) -> Thread:
        if missing := sorted(set(participants) - self.session.agents.keys()):
            raise Refusal(404, f"No agents named {', '.join(missing)}")
        clock = self.session.clock
        thread = Thread(str(uuid.uuid4()), name, self.name, {*participants, self.name}, clock.now())
        self.session.emit({"type": "thread_created", "thread": thread.document(clock)})
        self.session.threads[thread.id] = thread
        return thread

    def send(self, thread_id: str, text: str, mentions: Iterable[str]) -> Message:
        """Whoever sends need not take part; whoever is mentioned must."""
        thread = self.session.thread(thread_id)
        named = tuple(dict.fromkeys(mentions))
        for name in named:
            self.session.agent(name)
        if thread.closed is not None:
            raise Refusal(400, f"Cannot send messages to thread {thread_id} because it is closed")
        if self.name in named:
            raise Refusal(400, "Messages cannot mention the sender")
        if missing := [name for name in named if name not in thread.participants]:
            raise Refusal(
                404, f"Cannot mention agents ({', '.join(missing)}) as they are not participants of thread {thread_id}"
            )
        message = Message(str(uuid.uuid4()), thread_id, self.name, text, named, self.session.clock.now())
        thread.messages.append(message)
        for name in list(thread.participants):
            self.session.agent(name).notify(message)
        told = {"type": "thread_message_sent", "message": message.document(self.session.clock)}
        self.session.emit(told)
        return message

    def close_thread(self, thread_id: str, summary: str) -> None:
        thread = self.session.thread(thread_id)
        if thread.closed is not None:
            raise Refusal(400, f"Thread {thread_id} cannot be closed because it is not open")
        thread.closed = summary
        thread.messages.clear()
        self.session.emit({"type": "thread_closed", "threadId": thread_id, "summary": summary})

    def add_participant(self, thread_id: str, name: str) -> None:
        thread, other = self.session.thread(thread_id), self.session.agent(name)
        self._require_member(thread)
        if name in thread.participants:
            raise Refusal(400, f"Agent {name} is already participating in thread {thread_id}")
        thread.participants.add(name)
        for message in thread.messages:
            other.notify(message)
        self.session.emit({"type": "thread_participant_added", "threadId": thread_id, "name": name})

    def remove_participant(self, thread_id: str, name: str) -> None:
        thread = self.session.thread(thread_id)
        self.session.agent(name)
        self._require_member(thread)
        if name not in thread.participants:
            raise Refusal(400, f"Agent {name} is not participating in thread {thread_id}")
        thread.participants.remove(name)
        self.session.emit({"type": "thread_participant_removed", "threadId": thread_id, "name": name})

    def _require_member(self, thread: Thread) -> None:
        if self.name not in thread.participants:
            raise Refusal(400, f"Agent {self.name} is not participating in thread {thread.id}")

    # -- what it waits for ----------------------------------------------------------------------------------------

    async def wait(self, wanted: Wanted, since_ms: int | None = None, most_ms: int = MOST) -> Message | None:
        """Replays what was sent at or after the moment, thread by thread as the map has them; else waits for news."""
        since = (self.session.clock.now() // 10**6 if since_ms is None else since_ms) * 10**6
        waiter = (wanted, asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        self.session.emit({"type": "agent_wait_start", "name": self.name, "filters": []})
        self.presence = "waiting_message"
        replay = [m for t in self.session.unordered() if self.name in t.participants for m in t.messages]
        found = next((m for m in replay if m.at >= since and wanted(m)), None)
        try:
            if found is None:
                async with asyncio.timeout(min(most_ms, MOST) / 1000):
                    found = await waiter[1]
        except TimeoutError:
            return None
        finally:
            self.presence = "thinking"
            if waiter in self._waiters:
                self._waiters.remove(waiter)
        said = found.document(self.session.clock)
        self.session.emit({"type": "agent_wait_stop", "name": self.name, "message": said})
        return found

    async def mention(self, since_ms: int | None = None, most_ms: int = MOST) -> Message | None:
        return await self.wait(lambda message: self.name in message.mentions, since_ms, most_ms)

    def notify(self, message: Message) -> None:
        for waiter in [w for w in self._waiters if w[0](message)]:
            self._waiters.remove(waiter)
            if not waiter[1].done():
                waiter[1].set_result(message)

    # -- what others see of it ------------------------------------------------------------------------------------

    def connect(self) -> None:
        if not self.connected:
            self.session.emit({"type": "agent_connected", "name": self.name})
        self.connected, self.presence = True, "thinking"

    def status(self) -> dict[str, Any]:
        job = self.session.jobs.get(self.name)
        start = self.session.clock.iso(self.session.at)
        if job is None:
            return {"type": "waiting"}
        if job.done():
            return {"type": "stopped", "startTime": start}
        connection: dict[str, Any] = {"type": "not_connected"}
        if self.connected:
            connection = {"type": "connected", "communicationStatus": {"type": self.presence}}
        return {"type": "running", "connectionStatus": connection, "startTime": start}


class Session:
    """One session: its agents, threads, and whoever listens to its events."""

    def __init__(self, namespace: str, clock: Clock) -> None:
        self.id = str(uuid.uuid4())
        self.namespace = namespace
        self.clock = clock
        self.at = clock.now()
        self.agents: dict[str, SessionAgent] = {}
        self.threads: dict[str, Thread] = {}
        self.jobs: dict[str, asyncio.Task[None]] = {}
        self.listeners: set[asyncio.Queue[dict[str, Any] | None]] = set()
        self.lose = 0
        """So many events are not told: a full buffer drops the oldest."""
        self._salt = secrets.token_bytes(8)

    def emit(self, event: dict[str, Any]) -> None:
        """Only who listens now hears it."""
        if self.lose and event["type"] == "thread_message_sent":
            self.lose -= 1
            return
        for listener in self.listeners:
            listener.put_nowait({**event, "timestamp": self.clock.iso(self.clock.now())})

    def agent(self, name: str) -> SessionAgent:
        if name not in self.agents:
            raise Refusal(404, f"No agent named {name}")
        return self.agents[name]

    def thread(self, id: str) -> Thread:
        if id not in self.threads:
            raise Refusal(404, f'Thread with ID "{id}" does not exist')
        return self.threads[id]

    def unordered(self) -> list[Thread]:
        """A hash map's order: anything but that of time."""
        return sorted(self.threads.values(), key=lambda thread: hash((self._salt, thread.id)))

    def group(self, names: Iterable[str]) -> None:
        for name in names:
            self.agents[name].links |= set(names) - {name}

    def state(self) -> dict[str, Any]:
        base = {
            "id": self.id, "timestamp": self.clock.iso(self.at), "namespace": self.namespace, "annotations": {},
            "status": {"type": "executed" if self.jobs else "pending_execution"},
        }  # fmt: skip
        agents = [
            {
                "name": agent.name, "registryAgentIdentifier": agent.about["id"], "status": agent.status(),
                "description": agent.about.get("description"), "links": sorted(agent.links), "annotations": {},
            }
            for agent in self.agents.values()
        ]  # fmt: skip
        return {"base": base, "agents": agents, "threads": [t.document(self.clock) for t in self.unordered()]}
