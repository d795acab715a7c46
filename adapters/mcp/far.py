"""An MCP server as we hold it: its era negotiated, one session shared by all calls, renewed once when it is lost."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, suppress
from importlib.metadata import version as version_of
from typing import Any, Literal

from adapters.errors import Broken, ConnectFailed, GatewayError, Refused
from adapters.mcp.rpc import (
    CAPABILITIES_KEY,
    CLIENT_KEY,
    HANDSHAKE,
    METHOD_NOT_FOUND,
    MODERN,
    SERVER_KEY,
    UNSUPPORTED_VERSION,
    VERSION_KEY,
    Link,
    Message,
    NotDelivered,
    RpcFault,
    is_request,
    is_response,
    refusal,
    reply,
    result,
)  # fmt: skip

CLIENT = {"name": "doolittle", "title": "Doolittle", "version": version_of("doolittle")}
ALL = {"elicitation": {"form": {}, "url": {}}, "sampling": {}}
"""Declared to a server of the handshake era, once for all callers; one that cannot answer is refused in its place."""
PROBE = 5.0
"""Seconds for `server/discover`: a server of the handshake era may not answer it at all."""
ANSWER = 60.0
"""Seconds for the requests that open and list."""
PAGES = 100
WAITING = 1000
"""Messages that may wait for one call; a flood beyond is dropped."""
ENDED: Message = {}
"""Stands in a queue for the end of what filled it."""
Era = Literal["auto", "handshake", "modern"]


class Far:
    """The server behind a link. `changed` is called when its lists change."""

    def __init__(self, name: str, link: Link, era: Era, changed: Callable[[], None]) -> None:
        self.name = name
        self.link = link
        self._era: Era = era
        self._changed = changed
        self._ids = itertools.count(1)
        self._generation = 0
        self._renewing = asyncio.Lock()
        self._ready = False
        self._listening: asyncio.Task[None] | None = None
        self._asides: set[asyncio.Task[None]] = set()
        self._calls: dict[int, asyncio.Queue[Message | tuple[Message]]] = {}
        self._watched: dict[Any, list[asyncio.Queue[Message]]] = {}
        self._suspended: set[int] = set()
        """Calls that have asked, and wait for the answer: they ask nothing else meanwhile."""
        self.capabilities: Message = {}
        self.info: Message = {}
        self.instructions = ""
        self.changes = 0
        """How often the server said that its prompts or resources have changed."""
        link.unasked = self._unasked

    @property
    def modern(self) -> bool:
        return self.link.version == MODERN

    # -- opening --------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Connects and negotiates. Raises errors of the contract."""
        async with self._renewing:
            await self._close()
            await self._open()

    async def _open(self) -> None:
        try:
            await self.link.open()
            await self._negotiate()
        except BaseException:
            await self.link.close()
            raise
        self._generation += 1
        self._ready = True
        self.link.begin()
        if self.modern and any(self._tells(kind) for kind in ("tools", "prompts", "resources")):
            self._listening = asyncio.create_task(self._listen(), name=f"mcp listen {self.name}")

    async def _negotiate(self) -> None:
        try:
            if self._era == "handshake" or not await self._discover():
                await self._initialize()
        except (NotDelivered, TimeoutError) as fault:
            raise ConnectFailed(f"'{self.name}' does not answer the first request", detail=repr(fault)) from fault
        except RpcFault as fault:
            raise Refused(f"'{self.name}' refused the connection: {fault}"[:300], detail=repr(fault.error)) from fault

    async def _discover(self, *, again: bool = True) -> bool:
        """Whether the server is of the modern era; all but that, and an outage, says that it is of the other."""
        try:
            found = await self._ask("server/discover", self._modern_params({}, {}), PROBE)
        except (RpcFault, TimeoutError, NotDelivered, Broken) as fault:
            versions = _supported(fault)
            if again and versions is not None and MODERN in versions:
                return await self._discover(again=False)  # as the specification asks, at a version in common
            if self._era == "modern":
                raise
            if versions is not None and not any(version in HANDSHAKE for version in versions):
                raise Refused(f"'{self.name}' speaks {str(versions)[:80]}, and we do not") from fault
            return False
        offered, meta = found.get("supportedVersions"), found.get("_meta")
        if not isinstance(offered, list) or MODERN not in offered:
            return False
        self.link.version = MODERN
        self._learn(found, meta.get(SERVER_KEY) if isinstance(meta, dict) else None)
        return True

    async def _initialize(self) -> None:
        params = {"protocolVersion": HANDSHAKE[0], "capabilities": ALL, "clientInfo": CLIENT}
        found = await self._ask("initialize", params, ANSWER)
        version = found.get("protocolVersion")
        if version not in HANDSHAKE:
            raise Refused(f"'{self.name}' speaks {str(version)[:40]!r}, and we do not")
        self.link.version = version
        self._learn(found, found.get("serverInfo", {}))
        await self.link.tell({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def _learn(self, found: Message, info: Any) -> None:
        offered = found.get("capabilities")
        self.capabilities = offered if isinstance(offered, dict) else {}
        self.info = info if isinstance(info, dict) else {}
        self.instructions = str(found.get("instructions") or "")

    def _tells(self, kind: str) -> bool:
        said = self.capabilities.get(kind)
        return isinstance(said, dict) and said.get("listChanged") is True

    async def close(self) -> None:
        async with self._renewing:
            await self._close()

    async def _close(self) -> None:
        self._ready = False
        tasks = [*self._asides, *([self._listening] if self._listening else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._listening = None
        await self.link.close()

    async def _renew(self, generation: int) -> None:
        """Opens again, once for all who lost the same session. Raises errors of the contract."""
        try:
            async with self._renewing:
                if self._generation == generation:
                    await self._close()
                    await self._open()
        except GatewayError as fault:
            fault.delivered = "no"  # of the request that waits for it
            raise

    # -- asking ---------------------------------------------------------------------------------------------------

    async def exchange(
        self, method: str, params: Message, capabilities: Message, headers: Mapping[str, str]
    ) -> AsyncGenerator[Message, None]:
        """A request's messages, its response last. Closed before that, the server is told. `headers`: for HTTP and
        the modern era only. Raises errors of the contract."""
        for attempt in (0, 1):
            generation = self._generation
            if not self._ready:
                await self._renew(generation)
                generation = self._generation
            id, ended = next(self._ids), False
            said = self._modern_params(params, capabilities) if self.modern else dict(params)
            if "_meta" in params:
                said["_meta"] = {**said["_meta"], "progressToken": id}
            message: Message = {"jsonrpc": "2.0", "id": id, "method": method, "params": said}
            source = self.link.request(message | ({"headers": headers} if self.modern and headers else {}))
            if not self.modern and "_meta" in params and self.link.hears:
                source = self._with_asides(id, source)
            try:
                async for found in source:
                    ended = is_response(found)
                    if ended or not _strays(found, id):
                        yield found
                return
            except NotDelivered as fault:
                ended = True
                if attempt:
                    raise ConnectFailed(f"'{self.name}' was lost twice", detail=repr(fault), delivered="no") from fault
            finally:
                await source.aclose()
                if not ended:
                    self._cancelled(id)
            await self._renew(generation)

    async def _with_asides(self, id: int, source: AsyncGenerator[Message, None]) -> AsyncGenerator[Message, None]:
        """What comes on the request's own stream, and what the server asks beside it while this call alone runs:
        in the handshake era a question need not say to which call it belongs."""
        queue = self._calls[id] = asyncio.Queue[Message | tuple[Message]](WAITING + 1)
        step = asyncio.create_task(_pump(source, queue), name=f"mcp call {self.name}")
        try:
            while (found := await queue.get()) is not ENDED:
                if isinstance(found, tuple):
                    yield found[0]
                    if is_response(found[0]):
                        return
                    continue
                self._suspended.add(id)
                yield found
                self._suspended.discard(id)
            await step
        finally:
            del self._calls[id]
            self._suspended.discard(id)
            step.cancel()
            await asyncio.gather(step, return_exceptions=True)
            await source.aclose()

    def _modern_params(self, params: Message, capabilities: Message) -> Message:
        meta = {**params.get("_meta", {}), VERSION_KEY: MODERN, CAPABILITIES_KEY: capabilities, CLIENT_KEY: CLIENT}
        return {**params, "_meta": meta}

    def _cancelled(self, id: Any) -> None:
        """Over HTTP of the modern era the closed stream says it already."""
        if not (self.modern and self.link.hangs_up):
            params = {"requestId": id, "reason": "the caller does not wait any more"}
            self._aside({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params})

    def _aside(self, message: Message) -> None:
        task = asyncio.create_task(self.link.tell(message), name=f"mcp tell {self.name}")
        self._asides.add(task)
        task.add_done_callback(self._asides.discard)

    async def _ask(self, method: str, params: Message, seconds: float) -> Message:
        """A result, while the session is being opened. Raises `RpcFault`, `NotDelivered`, `TimeoutError`."""
        message = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}
        async with asyncio.timeout(seconds), aclosing(self.link.request(message)) as source:
            async for found in source:
                if is_response(found):
                    return result(found, self.name)
                self._unasked(found)
        raise Broken(f"'{self.name}' did not answer {method}")

    async def ask(self, method: str, params: Message) -> Message:
        """A result. Raises `RpcFault`, and errors of the contract."""
        async with asyncio.timeout(ANSWER), aclosing(self.exchange(method, params, {}, {})) as source:
            async for found in source:
                if is_response(found):
                    return result(found, self.name)
                self._unasked(found)
        raise Broken(f"'{self.name}' did not answer {method}")

    async def pages(self, method: str, key: str) -> AsyncGenerator[Any, None]:
        """All members of a list, page by page. Raises as `ask`, and `Broken` for lists without end."""
        cursor: Any = None
        seen: set[str] = set()
        for _ in range(PAGES):
            found = await self.ask(method, {"cursor": cursor} if cursor else {})
            members, cursor = found.get(key), found.get("nextCursor")
            if not isinstance(members, list) or not isinstance(cursor, str | None):
                raise Broken(f"'{self.name}' answered {method} with what is no list", detail=repr(found)[:200])
            for member in members:
                yield member
            if not cursor:
                return
            if cursor in seen:
                break
            seen.add(cursor)
        raise Broken(f"'{self.name}' pages its list in a circle, or without end")

    # -- what it says of itself -----------------------------------------------------------------------------------

    def _unasked(self, message: Message) -> None:
        """Questions and log lines are of the call that runs, if it is the only one."""
        method = str(message.get("method", ""))
        if method == "notifications/progress":
            self._forward(self._calls.get(_token(message)), message)
            return
        if is_request(message) and method == "ping":
            self._aside(reply(message["id"], {}))
            return
        if method.endswith("/list_changed"):
            self.changes += "tools" not in method
            self._changed()
            return
        if method == "notifications/resources/updated":
            self._updated(message)
            return
        running = self._calls.keys() - self._suspended
        if len(running) == 1 and (is_request(message) or method == "notifications/message"):
            self._forward(self._calls[running.pop()], message)
        elif is_request(message):
            text = f"{len(running)} calls run on this connection: it cannot be told which of them asks"
            self._aside(refusal(message["id"], METHOD_NOT_FOUND, text))

    def _updated(self, message: Message) -> None:
        params = message.get("params")
        for queue in self._watched.get(params.get("uri"), ()) if isinstance(params, dict) else ():
            self._forward(queue, message)

    async def watch(self, uri: str) -> AsyncGenerator[Message, None]:
        """Notifications of a resource's changes, after one that is empty: the server has agreed. Raises as `ask`."""
        if self.modern:
            params: Message = {"notifications": {"resourceSubscriptions": [uri]}, "_meta": {}}
            async with aclosing(self.exchange("subscriptions/listen", params, {}, {})) as source:
                async for found in source:
                    if is_response(found):
                        result(found, self.name)
                        return
                    yield {} if str(found.get("method")).endswith("/acknowledged") else found
            return
        queue: asyncio.Queue[Message] = asyncio.Queue()
        await self.ask("resources/subscribe", {"uri": uri})
        watching = self._watched.setdefault(uri, [])
        watching.append(queue)
        try:
            yield {}
            while True:
                yield await queue.get()
        finally:
            watching.remove(queue)
            if not watching and self._watched.pop(uri, None) is not None and self._ready:
                over: Message = {"method": "resources/unsubscribe", "params": {"uri": uri}}
                self._aside({"jsonrpc": "2.0", "id": next(self._ids), **over})

    def _forward(self, queue: "asyncio.Queue[Any] | None", message: Message) -> None:
        if queue is not None and queue.qsize() < WAITING:
            queue.put_nowait(message)

    async def _listen(self) -> None:
        """`subscriptions/listen`, the stream of changes in the modern era."""
        wanted = {f"{kind}ListChanged": True for kind in ("tools", "prompts", "resources") if self._tells(kind)}
        while True:
            with suppress(GatewayError, RpcFault):
                params = {"notifications": wanted}
                async with aclosing(self.exchange("subscriptions/listen", params, {}, {})) as source:
                    async for found in source:
                        if is_response(found):
                            result(found, self.name)
                        else:
                            self._unasked(found)
            await asyncio.sleep(5)
            self._changed()


def _token(message: Message) -> Any:
    """Of a notification of progress; -1 where it is none of ours."""
    params = message.get("params")
    found = params.get("progressToken") if isinstance(params, dict) else None
    return found if type(found) in (int, float) else -1


def _strays(message: Message, id: int) -> bool:
    """Whether it is the progress of another request."""
    return message.get("method") == "notifications/progress" and _token(message) != id


async def _pump(source: AsyncGenerator[Message, None], queue: "asyncio.Queue[Message | tuple[Message]]") -> None:
    """The request's own messages, each in a tuple to tell it from what came beside them; then `ENDED`."""
    try:
        async for message in source:
            await queue.put((message,))
    except Exception:
        await queue.put(ENDED)
        raise
    await queue.put(ENDED)


def _supported(fault: Exception) -> list[Any] | None:
    """The versions that a server names when it refuses ours; None where that is not what it says."""
    if not isinstance(fault, RpcFault) or fault.code != UNSUPPORTED_VERSION:
        return None
    data = fault.error.get("data")
    versions = data.get("supported") if isinstance(data, dict) else None
    return versions if isinstance(versions, list) else []
