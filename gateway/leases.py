"""Agents that register themselves: upstreams that live on a lease, each held by the key that registered it.

A registrant gives an address, and is believed in nothing: the address must be public or in a network that the operator
allows, checked when it is connected to; of what is found there nothing is told but whether it is a far side of the
network that was named. The upstream's name ends with a mark of the key, so that no key can come to hold what was
another's, and with it the names of its agents, not even after that one is gone.
"""

import asyncio
import ipaddress
import json
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

import structlog
from sqlalchemy import delete, insert, select

from adapters.errors import BadArguments, Denied, Full, GatewayError, RateLimited, Unknown
from adapters.load import Adapters
from adapters.spi import Caller, Json, Upstream
from gateway.egress import public, within
from gateway.seal import Seal
from gateway.settings import RegistrationSettings
from gateway.upstreams import LiveUpstream, UpstreamTable
from registry.store import Store
from registry.tables import state as table

SPACE = "leases"
LAPSED = "its lease has run out: it did not renew it"
OFTEN, EVERY = 60, 60.0
"""New or changed offers of one key, and looks at one lease's address, in so many seconds."""
MARK = 6
"""Hex digits that mark whose a name is."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Offer:
    """What a registrant says of itself. `key` and `options` may hold secrets."""

    network: str
    url: str
    key: str = field(default="", repr=False)
    options: Mapping[str, Json] = field(default_factory=dict[str, Json], repr=False)


@dataclass(slots=True)
class Held:
    """A lease as it is kept: whose, what was offered; None: it was taken back, and the name stays its owner's."""

    owner: str
    offer: Offer | None


@dataclass(frozen=True, slots=True)
class Lease:
    """What the registrant is told."""

    name: str
    seconds: float
    up: bool


class Leases:
    """All leases. What changes is written to the store, sealed; that one is renewed is in memory alone."""

    def __init__(
        self, upstreams: UpstreamTable, adapters: Adapters, store: Store, seal: Seal, settings: RegistrationSettings
    ) -> None:
        self._upstreams = upstreams
        self._adapters = adapters
        self._store = store
        self._seal = seal
        self._settings = settings
        self._held: dict[str, Held] = {}
        self._ends: dict[str, asyncio.TimerHandle] = {}
        self._lapsing: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()
        self._changes: dict[str, deque[float]] = {}

    async def start(self) -> None:
        """Those of the store, each for one lease more: whoever lives renews it in that time."""
        where = table.c.namespace == SPACE
        rows = await self._store.run(lambda c: [dict(r) for r in c.execute(select(table).where(where)).mappings()])
        for row in rows:
            name: str = row["key"]
            said = json.loads(self._seal.open(row["value"], _purpose(name)))
            self._held[name] = held = Held(said["owner"], Offer(**said["offer"]) if said["offer"] else None)
            if held.offer is None:
                continue
            try:
                await self._upstreams.lease(_upstream(name, held.offer))
                self._until(name)
            except GatewayError as fault:
                log.warning("a registered upstream cannot be used", upstream=name, said=fault.public)

    async def stop(self) -> None:
        for end in self._ends.values():
            end.cancel()
        for task in self._lapsing:
            task.cancel()
        await asyncio.gather(*self._lapsing, return_exceptions=True)

    async def renew(self, label: str, offer: Offer, who: Caller) -> Lease:
        """Takes the offer up, or takes note that it still holds. Returns at once, whatever is at that address.

        Raises `BadArguments` for an offer that cannot be, `Denied` for a private address, `Conflict` where the operator
        has an upstream of this name, `Full` beyond what one key may hold.
        """
        self._require_sound(offer)
        name = named(label, who)
        async with self._turn:
            held = self._held.get(name)
            if held is None:
                self._require_room(who)
            if held is None or held.offer != offer:
                self._require_time(who.id)
            live = await self._upstreams.lease(_upstream(name, offer))
            if held is None or held.offer != offer:
                await self._keep(name, Held(who.id, offer))
                log.info("an upstream registered itself", upstream=name, network=offer.network, key=who.id)
            self._until(name)
        self._wake(live)
        return Lease(name, self._settings.lease, live.complete)

    async def withdraw(self, label: str, who: Caller) -> None:
        """Raises `Unknown` for what this key does not hold."""
        name = named(label, who)
        async with self._turn:
            held = self._held.get(name)
            if held is None or held.offer is None:
                raise Unknown(f"this key has registered nothing under the name '{label[:40]}'")
            await self._keep(name, Held(held.owner, None))
            await self._end(name)

    def holds(self, name: str) -> bool:
        """Whether the upstream of this name registered itself."""
        held = self._held.get(name)
        return held is not None and held.offer is not None

    async def remove(self, name: str) -> None:
        """By the operator; as if it had been taken back."""
        async with self._turn:
            await self._keep(name, Held(self._held[name].owner, None))
            await self._end(name)

    # -- time -----------------------------------------------------------------------------------------------------

    def _until(self, name: str) -> None:
        """From now on, for one lease."""
        if name in self._ends:
            self._ends[name].cancel()
        self._ends[name] = asyncio.get_running_loop().call_later(self._settings.lease, self._over, name)

    def _over(self, name: str) -> None:
        del self._ends[name]
        task = asyncio.create_task(self._upstreams.lapse(name, LAPSED), name=f"lapse {name}")
        self._lapsing.add(task)
        task.add_done_callback(self._lapsing.discard)

    async def _end(self, name: str) -> None:
        if name in self._ends:
            self._ends.pop(name).cancel()
        await self._upstreams.withdraw(name)

    # -- what may be ----------------------------------------------------------------------------------------------

    def _require_sound(self, offer: Offer) -> None:
        found = self._adapters.find(offer.network)
        if found.manifest is None or "register" not in found.manifest.can:
            raise BadArguments(f"upstreams of the network '{offer.network}' do not register themselves")
        require_address(offer.url, self._settings)

    def _require_room(self, who: Caller) -> None:
        if sum(held.owner == who.id for held in self._held.values()) >= self._settings.most:
            raise Full(f"one key may register {self._settings.most} upstreams", retry_after=60)

    def _require_time(self, what: str) -> None:
        """Raises `RateLimited` where it was done too often of late: each time the gateway calls somewhere."""
        now = asyncio.get_running_loop().time()
        times = self._changes.setdefault(what, deque(maxlen=OFTEN))
        if len(times) == OFTEN and now - times[0] < EVERY:
            raise RateLimited("that was registered too often", retry_after=EVERY - (now - times[0]))
        times.append(now)

    def _wake(self, live: LiveUpstream) -> None:
        """Who renews is there: what failed before is tried again now."""
        if live.connected or not live.attempt.is_set():
            return
        with suppress(RateLimited):
            self._require_time(f"look {live.upstream.name}")
            live.wake.set()

    # -- the store ------------------------------------------------------------------------------------------------

    async def _keep(self, name: str, held: Held) -> None:
        said = {
            "owner": held.owner,
            "offer": held.offer and {**asdict(held.offer), "options": dict(held.offer.options)},
        }
        value = self._seal.seal(json.dumps(said).encode(), _purpose(name))
        at = (table.c.namespace == SPACE, table.c.key == name)

        def write(connection: Any) -> None:
            connection.execute(delete(table).where(*at))
            connection.execute(insert(table).values(namespace=SPACE, key=name, value=value))

        await self._store.run(write)
        self._held[name] = held


def named(label: str, who: Caller) -> str:
    """The upstream's name: what the registrant calls it, with the mark of its key."""
    mark = sha256(who.id.encode()).hexdigest()[:MARK]
    return f"{label[: 24 - MARK - 1].strip('-')}-{mark}"


def require_address(url: str, settings: RegistrationSettings) -> None:
    """Raises `BadArguments` for what is no plain address, `Denied` for one that is written as a private one.

    Names are not looked up here: what they lead to is checked when it is connected to, and not told.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError as fault:
        raise BadArguments("'url' is no address") from fault
    if parts.scheme not in ("http", "https") or not host or parts.username is not None or parts.password is not None:
        raise BadArguments("'url' is an address such as http://198.51.100.7:3000, without a name and a password")
    if parts.query or parts.fragment or not url.isprintable() or " " in url:
        raise BadArguments("'url' has neither a query nor a fragment")
    try:
        address = "127.0.0.1" if host == "localhost" else str(ipaddress.ip_address(host.partition("%")[0]))
    except ValueError:
        return
    if not public(address) and not within(address, settings.allowed):
        raise Denied("that address is private; the operator allows such ones with registration.networks")


def _upstream(name: str, offer: Offer) -> Upstream:
    return Upstream(name, offer.network, offer.url, offer.key, options=offer.options, origin="self", trusted=False)


def _purpose(name: str) -> str:
    return f"lease\0{name}"
