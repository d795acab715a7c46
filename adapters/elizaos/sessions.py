"""The way to an agent by the server's own sessions, for servers without the plugin (`plugin_route.py`)."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx2
import orjson

from adapters import wire
from adapters.elizaos import translate
from adapters.errors import Broken, Busy, ConnectFailed, GatewayError, Refused, TimedOut
from adapters.spi import Agent, Call, Host, Result, Tool, Upstream

KEPT = 2000
"""Conversations whose sessions are remembered."""
DETAILS = 900.0
"""Seconds after which an agent's description is read again: the server allows 1,000 requests in as many."""
CHANNELS = "/api/messaging/message-servers/00000000-0000-0000-0000-000000000000/channels"
"""Those of the server's own, where its sessions are."""
FOREVER = httpx2.Timeout(10, read=None, pool=5)
"""The call path watches the deadline; the server itself waits up to an hour."""


@dataclass(slots=True)
class Session:
    """One session of the server's; its calls queue, for a newer message would discard the answer to an older."""

    id: str = ""
    room: str = ""
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class SessionRoute:
    """Talks to one server with `X-API-KEY`."""

    def __init__(self, upstream: Upstream, host: Host) -> None:
        self._name = upstream.name
        self._base = upstream.url.rstrip("/")
        self._http = host.http
        self._headers = {"accept": "application/json", "content-type": "application/json"}
        if upstream.secret:
            self._headers["x-api-key"] = upstream.secret
        self._sessions: OrderedDict[tuple[str, str, str], Session] = OrderedDict()
        self._details: dict[str, tuple[str, float, Agent]] = {}

    async def entries(self) -> list[dict[str, str]]:
        """Id and name of the active agents."""
        entries = translate.listed(await self._read("/api/agents"), self._name)
        for id in self._details.keys() - {entry["id"] for entry in entries}:
            del self._details[id]
        return [entry for entry in entries if entry["id"] and entry["status"] == "active"]

    async def described(self, entry: dict[str, str]) -> Agent:
        """One of the entries; its description is read when it is new, and now and then."""
        known = self._details.get(entry["id"])
        if known and known[0] == entry["name"] and time.monotonic() - known[1] < DETAILS:
            return known[2]
        body = await self._read(f"/api/agents/{quote(entry['id'], safe='')}")
        agent = translate.agent(body, self._name)
        self._details[entry["id"]] = (entry["name"], time.monotonic(), agent)
        return agent

    async def ask(self, call: Call, tool: Tool) -> Result:
        """One message and its answer. Raises as `translate.failure`; `TimedOut` after the argument `timeout`."""
        name = str(call.arguments.get("conversation") or call.conversation or "")
        try:
            async with asyncio.timeout(call.arguments.get("timeout")):
                async with self._session(call, tool, name) as session:
                    return await self._say(session, call, tool)
        except TimeoutError as fault:
            raise TimedOut(f"'{tool.agent}' did not answer within {call.arguments['timeout']:g} seconds") from fault

    @asynccontextmanager
    async def _session(self, call: Call, tool: Tool, name: str) -> AsyncIterator[Session]:
        """The conversation's session, in turn; a fresh one where no conversation is named."""
        if not name:
            yield Session()
            return
        key = (translate.user(call.caller.id, call.speech.by), tool.address.native, name)
        session = self._sessions.setdefault(key, Session())
        self._sessions.move_to_end(key)
        while len(self._sessions) > KEPT:
            self._sessions.popitem(last=False)
        async with session.turn:
            yield session

    async def _say(self, session: Session, call: Call, tool: Tool) -> Result:
        try:
            return await self._heard(session, call, tool)
        except translate.Unclear as unclear:
            body = await self._remembered(session, tool)
            return translate.cleared(unclear.outcome, body, translate.user(call.caller.id, call.speech.by))

    async def _heard(self, session: Session, call: Call, tool: Tool) -> Result:
        if session.id:
            try:
                return await self._send(session.id, call)
            except translate.SessionGone:  # it expired, or the server was restarted: nothing was delivered
                session.id = ""
        try:
            session.id, session.room = await self._open(call, tool)
            return await self._send(session.id, call)
        except translate.SessionGone as fault:
            raise Refused(f"'{self._name}' lost the session that it had just opened", delivered="no") from fault

    async def _open(self, call: Call, tool: Tool) -> tuple[str, str]:
        said = {"agentId": tool.address.native, "userId": translate.user(call.caller.id, call.speech.by)}
        return translate.session(await self._ask("POST", "/api/messaging/sessions", said), self._name)

    async def _send(self, session: str, call: Call) -> Result:
        said = {"content": call.arguments["message"], "transport": "http"}
        path = f"/api/messaging/sessions/{quote(session, safe='')}/messages"
        try:
            return translate.answer(await self._ask("POST", path, said, FOREVER), self._name)
        except ConnectFailed as fault:
            if isinstance(fault.__cause__, httpx2.RemoteProtocolError | httpx2.ReadError):
                why = "while the agent worked; an ElizaOS server as shipped hangs up after 30 s of silence"
                raise ConnectFailed(f"{fault.public} {why}", detail=fault.detail) from fault
            raise

    async def _remembered(self, session: Session, tool: Tool) -> bytes:
        """What the agent remembers of the room; nothing, where the server does not tell."""
        if not session.room:
            return b""
        query = f"roomId={quote(session.room, safe='')}"
        try:
            return await self._read(f"/api/memory/{quote(tool.address.native, safe='')}/memories?{query}")
        except GatewayError:
            return b""

    async def forget(self, agent: str, users: Sequence[str]) -> int:
        """Removes what was said in sessions of these users with the agent; how many there were."""
        for key in [key for key in self._sessions if key[0] in users and key[1] == agent]:
            del self._sessions[key]
        found = translate.channels(await self._read(CHANNELS), self._name, agent, users)
        for channel in found:
            for kind in ("messages", "facts"):
                query = f"channelId={quote(channel, safe='')}&tableName={kind}"
                path = f"/api/memory/{quote(agent, safe='')}/memories"
                for id in translate.memories(await self._read(f"{path}?{query}"), self._name):
                    await self._ask("DELETE", f"{path}/{quote(id, safe='')}")
            await self._ask("DELETE", f"/api/messaging/channels/{quote(channel, safe='')}")
        return len(found)

    async def _read(self, path: str) -> bytes:
        """As `_ask`, where nothing is said to an agent."""
        try:
            return await self._ask("GET", path)
        except (translate.SessionGone, translate.Unclear) as fault:
            raise Broken(f"'{self._name}' answered out of place") from fault

    async def _ask(self, method: str, path: str, said: Any = None, timeout: httpx2.Timeout | None = None) -> bytes:
        """The body of a good answer. Raises what `translate.failure` makes of others, and as `wire.send`."""
        content = orjson.dumps(said) if said is not None else None
        extra: dict[str, Any] = {"timeout": timeout} if timeout else {}
        request = self._http.build_request(method, self._base + path, content=content, headers=self._headers, **extra)
        response, body = await wire.send(self._http, request, self._name)
        if response.status_code >= 400:
            fault = translate.failure(response.status_code, response.headers, body, self._name)
            if isinstance(fault, Busy):
                fault.delivered = "no"
            raise fault
        return body
