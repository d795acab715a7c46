"""Who calls by MCP: a request's caller, view, client, patience, what it can answer; and sessions that say it all."""

import base64
import binascii
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from adapters.errors import GatewayError, Unknown
from adapters.mcp.rpc import CAPABILITIES_KEY, CLIENT_KEY, LOG_KEY, Message
from adapters.spi import Agent, Caller, Catalog, Host, Tool, View

PATIENT: Mapping[str, float] = {"mcp": 0, "doolittle": 0}
"""Clients known to wait: the Python SDK's by default, and another gateway."""
PATIENCE = 50.0
"""Seconds for all others: many give a call 60."""
LIFE = 86400.0
"""Seconds for which a session may be used."""
KNOWN = 10_000
LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")


@dataclass(frozen=True, slots=True)
class Session:
    """What the id of a handshake session says by itself, sealed by the gateway: any replica can read it."""

    id: str
    caller: str
    client: str
    answers: frozenset[str]
    began: float


@dataclass(frozen=True, slots=True)
class Near:
    """A request's other end."""

    caller: Caller
    look: Catalog
    client: str
    answers: frozenset[str]
    patience: float
    modern: bool
    session: Session | None = None
    level: str = ""
    """The least level of log lines that it wants; blank: none."""

    def hears(self, level: Any) -> bool:
        """Whether it wants log lines of this level."""
        return self.level in LEVELS and level in LEVELS and LEVELS.index(level) >= LEVELS.index(self.level)


class Sessions:
    """Makes and reads session ids. An id that was ended here is refused here until it expires."""

    def __init__(self, host: Host, life: float = LIFE) -> None:
        self._host = host
        self._life = life
        self._known: OrderedDict[str, Session] = OrderedDict()
        self._ended: OrderedDict[str, float] = OrderedDict()

    def begin(self, caller: Caller, params: Any) -> str:
        """The id for the client that sent these parameters of `initialize`."""
        said = params if isinstance(params, dict) else {}
        body = [caller.id, client_name(said.get("clientInfo")), sorted(answers(said.get("capabilities"))), time.time()]
        return base64.urlsafe_b64encode(self._host.seal(orjson.dumps(body))).decode().rstrip("=")

    def find(self, id: str, caller: Caller) -> Session | None:
        """None for an id that is not one, is another caller's, too old, or was ended."""
        found = self._known.get(id) or self._read(id)
        if found is None or id in self._ended or found.caller != caller.id or found.began + self._life < time.time():
            return None
        return found

    def _read(self, id: str) -> Session | None:
        try:
            sealed = base64.urlsafe_b64decode(id + "=" * (-len(id) % 4))
            caller, client, kinds, began = orjson.loads(self._host.open(sealed))
        except (GatewayError, binascii.Error, ValueError):
            return None
        found = self._known[id] = Session(id, caller, client, frozenset(kinds), began)
        if len(self._known) > KNOWN:
            self._known.popitem(last=False)
        return found

    def end(self, session: Session) -> None:
        self._ended[session.id] = session.began + self._life
        while self._ended and (len(self._ended) > KNOWN or next(iter(self._ended.values())) < time.time()):
            self._ended.popitem(last=False)


def client_name(info: Any) -> str:
    name = info.get("name") if isinstance(info, dict) else None
    return name[:64] if isinstance(name, str) else ""


def answers(capabilities: Any) -> frozenset[str]:
    """The kinds of question that a client can answer, in `Call.answers`' words."""
    found: set[str] = set()
    said = capabilities if isinstance(capabilities, dict) else {}
    elicitation = said.get("elicitation")
    if isinstance(elicitation, dict):
        found |= {"form"} if "form" in elicitation or "url" not in elicitation else set()
        found |= {"visit"} if "url" in elicitation else set()
    if isinstance(said.get("sampling"), dict):
        found.add("sampling")
    return frozenset(found)


class Nears:
    """Makes a `Near` for each request."""

    def __init__(self, host: Host, catalog: Catalog, levels: Mapping[str, str]) -> None:
        self._host = host
        self._catalog = catalog
        self._levels = levels

    def of(self, scope: Mapping[str, Any], meta: Message, session: Session | None, modern: bool) -> Near:
        """Raises `Unknown` for a view or an agent that is not there."""
        caller: Caller = scope["caller"]
        look = self.look(scope.get("path_params", {}), scope["path"], caller)
        if session is not None:
            client, kinds = session.client, session.answers
        elif modern:
            client, kinds = client_name(meta.get(CLIENT_KEY)), answers(meta.get(CAPABILITIES_KEY))
        else:
            client, kinds = "", frozenset[str]()
        level = meta.get(LOG_KEY, "") if modern else self._levels.get(session.id, "info") if session else ""
        return Near(caller, look, client, kinds, self._patience(caller, look, client), modern, session, level)

    def _patience(self, caller: Caller, look: Catalog, client: str) -> float:
        if caller.patience is not None:
            return caller.patience
        if look.seen.patience is not None:
            return look.seen.patience
        return self._host.patience(client, PATIENT.get(client, PATIENCE))

    def look(self, params: Mapping[str, str], path: str, caller: Caller) -> Catalog:
        """By path and key, never by session. `/mcp`: the key's own view if it has one, else the view `default` if there
        is one, else all tools behind search."""
        if "agent" in params:
            return OfAgent(self._catalog, params["agent"])
        if "view" in params:
            return self._catalog.view(params["view"], caller)
        if path.endswith("/all"):
            return self._catalog
        if len(caller.views) == 1:
            return self._catalog.view(caller.views[0], caller)
        try:
            return self._catalog.view("default", caller)
        except Unknown:
            return Searched(self._catalog)


class Around:
    """A catalogue around another: `seen` differs, or what is shown."""

    def __init__(self, inner: Catalog) -> None:
        self._inner = inner

    @property
    def revision(self) -> int:
        return self._inner.revision

    @property
    def seen(self) -> View:
        return self._inner.seen

    def agents(self, caller: Caller) -> Sequence[Agent]:
        return self._inner.agents(caller)

    def tools(self, caller: Caller, agent: str | None = None) -> Sequence[Tool]:
        return self._inner.tools(caller, agent)

    def tool(self, name: str, caller: Caller) -> Tool:
        return self._inner.tool(name, caller)

    async def search(self, query: str, caller: Caller, limit: int = 20) -> Sequence[Tool]:
        return await self._inner.search(query, caller, limit)

    def changes(self) -> AsyncIterator[int]:
        return self._inner.changes()

    def view(self, name: str, caller: Caller) -> Catalog:
        return self._inner.view(name, caller)

    def public(self, shown: str) -> str:
        return self._inner.public(shown)


class Searched(Around):
    """Everything, behind search."""

    _SEEN = View(search=True)

    @property
    def seen(self) -> View:
        return self._SEEN


class OfAgent(Around):
    """One agent."""

    def __init__(self, inner: Catalog, agent: str) -> None:
        super().__init__(inner)
        self._agent = agent

    def agents(self, caller: Caller) -> Sequence[Agent]:
        return [agent for agent in self._inner.agents(caller) if agent.slug == self._agent]

    def tools(self, caller: Caller, agent: str | None = None) -> Sequence[Tool]:
        return self._inner.tools(caller, self._agent) if agent in (None, self._agent) else ()

    def tool(self, name: str, caller: Caller) -> Tool:
        found = self._inner.tool(name, caller)
        if found.agent != self._agent:
            raise Unknown(f"no tool of '{self._agent[:40]}' is called '{name[:80]}'")
        return found

    async def search(self, query: str, caller: Caller, limit: int = 20) -> Sequence[Tool]:
        return [tool for tool in await self._inner.search(query, caller, limit) if tool.agent == self._agent]
