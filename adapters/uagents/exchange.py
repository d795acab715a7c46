"""Where the two roles of one gateway meet: who calls out over this network is answered at the face that is served."""

import asyncio
import uuid
from collections import OrderedDict
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from weakref import WeakKeyDictionary

import httpx2
import orjson
from pydantic import ValidationError
from uagents_core.envelope import Envelope

from adapters import wire
from adapters.errors import Broken, ConnectFailed, Denied, Expired, GatewayError, Refused, TimedOut
from adapters.spi import Host
from adapters.uagents import envelopes
from adapters.uagents.almanac import Almanac
from adapters.uagents.signing import verify

LIMIT = 16 * 2**20
KEPT = 10_000
"""Addresses of ours that are known beyond the dialogues that are open."""
QUEUE = 10_000
"""Envelopes of one dialogue that may wait to be read."""


class Dialogue:
    """What one of our identities hears from one agent in one session."""

    def __init__(self, peer: str) -> None:
        self.peer = peer
        self._heard: asyncio.Queue[Envelope] = asyncio.Queue(QUEUE)

    def hear(self, envelope: Envelope) -> None:
        with suppress(asyncio.QueueFull):  # previews of a far side that never ends: its deadline ends the call
            self._heard.put_nowait(envelope)

    async def next(self) -> Envelope:
        return await self._heard.get()


class Exchange:
    """One for each gateway."""

    def __init__(self) -> None:
        self.url = ""
        """Where others reach our face; blank while none is served."""
        self.ours: OrderedDict[str, None] = OrderedDict()
        """Addresses under which we called out of late."""
        self.published: Callable[[], Container[str]] = frozenset
        """Addresses of the agents that we publish."""
        self._open: dict[tuple[str, uuid.UUID], Dialogue] = {}

    @contextmanager
    def dialogue(self, ours: str, session: uuid.UUID, peer: str) -> Iterator[Dialogue]:
        """Hears what the peer sends to us in the session, while the context is open."""
        found = Dialogue(peer)
        self._open[ours, session] = found
        self.ours[ours] = None
        self.ours.move_to_end(ours)
        while len(self.ours) > max(KEPT, len(self._open)):
            self.ours.popitem(last=False)
        try:
            yield found
        finally:
            del self._open[ours, session]

    def deliver(self, envelope: Envelope) -> bool:
        """Whether it is for one of our callers. What nobody waits for any more, or another sent, is dropped: an answer
        belongs to the session that asked, and to the agent that was asked."""
        if envelope.target not in self.ours:
            return False
        found = self._open.get((envelope.target, envelope.session))
        if found is not None and found.peer == envelope.sender:
            found.hear(envelope)
        return True


_EXCHANGES: "WeakKeyDictionary[Any, Exchange]" = WeakKeyDictionary()


def exchange(host: Host) -> Exchange:
    """That of the gateway behind this host: all its hosts have one keyring."""
    return _EXCHANGES.setdefault(host.keyring, Exchange())


class Post:
    """Sends envelopes to where the Almanac says."""

    def __init__(self, client: httpx2.AsyncClient, almanac: Almanac) -> None:
        self._client = client
        self.almanac = almanac

    async def send(self, envelope: Envelope, seconds: float) -> None:
        """Asynchronous: whoever answers does so by an envelope of its own. Raises `GatewayError`s."""
        await self._deliver(envelope, seconds, sync=False)

    async def ask(self, envelope: Envelope, seconds: float) -> Envelope:
        """Synchronous: the answer comes on the same connection, and belongs to this envelope or is refused."""
        body = await self._deliver(envelope, seconds, sync=True)
        try:
            found = Envelope.model_validate_json(body)
        except ValidationError as fault:
            raise Broken(f"'{envelope.target}' did not answer with an envelope") from fault
        if (found.sender, found.target, found.session) != (envelope.target, envelope.sender, envelope.session):
            raise Broken(f"'{envelope.target}' answered with an envelope of another session")
        if found.signature and not verify(found.sender, envelopes.digest(found), found.signature):
            raise Broken(f"the signature of the answer of '{envelope.target}' does not hold")
        return found

    async def _deliver(self, envelope: Envelope, seconds: float, *, sync: bool) -> bytes:
        fault: GatewayError = ConnectFailed(f"'{envelope.target}' has no endpoint", delivered="no")
        body = envelope.model_dump_json().encode()
        for url in await self.almanac.endpoints(envelope.target):
            try:
                return await self._post(url, body, envelope.target, seconds, sync=sync)
            except (ConnectFailed, Denied) as error:
                fault = error
                if error.delivered != "no":
                    break
        self.almanac.forget(envelope.target)
        raise fault

    async def _post(self, url: str, body: bytes, target: str, seconds: float, *, sync: bool) -> bytes:
        headers = {"content-type": "application/json", **({"x-uagents-connection": "sync"} if sync else {})}
        timeout = httpx2.Timeout(max(0.1, seconds), connect=min(10, max(0.1, seconds)), pool=5)
        try:
            request = self._client.build_request("POST", url, content=body, headers=headers, timeout=timeout)
        except (httpx2.InvalidURL, ValueError, TypeError) as fault:
            raise ConnectFailed(f"the endpoint of '{target}' is no URL", detail=url[:200], delivered="no") from fault
        try:
            response, answer = await wire.send(self._client, request, target)
        except httpx2.UnsupportedProtocol as fault:
            raise ConnectFailed(f"the endpoint of '{target}' is no URL", detail=url[:200], delivered="no") from fault
        if response.status_code != 200:
            raise Refused(f"'{target}' refused the envelope: {_said(answer)}", detail=f"{response.status_code} {url}")
        return answer


def _said(answer: bytes) -> str:
    try:
        found = orjson.loads(answer)
        return str(found.get("error") or found.get("detail"))[:200] if isinstance(found, dict) else "no reason given"
    except orjson.JSONDecodeError:
        return "no reason given"


def told(error: str, name: str) -> GatewayError:
    """What an agent's ErrorMessage says, as an error of the contract."""
    if error == "Query envelope expired":
        return TimedOut(f"'{name}' did not answer in time", delivered="unknown")
    if error == "envelope expired":
        return Expired(f"'{name}': {error}")
    return Refused(f"'{name}' says: {error[:2000]}")
