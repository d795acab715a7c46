"""Keys: who calls, and what they may do. Hashed in the store, read from memory."""

import hmac
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, insert, select, update

from adapters.errors import CallerError, Unauthenticated, Unknown
from adapters.spi import Caller, Evidence
from gateway.limits import Allowance, rate
from gateway.settings import NetworkSettings
from gateway.usage import Usage
from registry.store import Store
from registry.tables import keys

PREFIX = "dk_"
ROLES = frozenset({"call", "admin", "register"})
LOCAL = Caller("local", name="local", roles=ROLES)
"""Whoever calls a gateway on loopback that has no keys."""
UNLIMITED = Allowance()


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it is listed: all but the secret, of which nobody has more than the hash."""

    id: str
    name: str
    allow: tuple[str, ...]
    roles: tuple[str, ...]
    agent: str
    created: float
    expires: float | None
    revoked: float | None
    rate: str = ""
    concurrent: int | None = None
    daily: int | None = None
    views: tuple[str, ...] = ()
    patience: float | None = None
    last_used: float | None = None
    today: int = 0


@dataclass(frozen=True, slots=True)
class Wanted:
    """A key to be made. `days` until it expires; None: never. `agent` is the slug of the agent that will hold it.

    `rate` ("60/minute") stands in place of the setting. `concurrent` calls at once, `daily` calls a day of UTC; None:
    no limit. `views` and `patience` as in `Caller`.
    """

    name: str
    allow: tuple[str, ...] = ("*",)
    roles: tuple[str, ...] = ("call",)
    agent: str = ""
    days: float | None = None
    rate: str = ""
    concurrent: int | None = None
    daily: int | None = None
    views: tuple[str, ...] = ()
    patience: float | None = None


class Keys:
    """All keys. With none, everybody is `LOCAL`; the server then binds to loopback only."""

    def __init__(self, store: Store, networks: Mapping[str, NetworkSettings] | None = None) -> None:
        self._store = store
        self.networks = networks or {}
        self.usage = Usage(store)
        self._keys: dict[str, tuple[Key, dict[str, Caller]]] = {}
        self._allowances: dict[str, Allowance] = {}
        self._local: dict[str, Caller] = {}
        self._any = False
        self._master = ""

    async def load(self) -> None:
        """Reads the store anew. Callers are made anew too, with what their keys now say."""
        rows = await self._store.run(_all)
        self._any = bool(rows)
        self.usage.learn(rows)
        good = [(row["hash"], _key(row)) for row in rows if row["revoked"] is None]
        self._keys = {digest: (key, {}) for digest, key in good}
        self._allowances = {_principal(key): _allowance(key) for _, key in good}

    def allowance(self, caller: str) -> Allowance:
        """What the principal of this id may."""
        return self._allowances.get(caller, UNLIMITED)

    @property
    def exist(self) -> bool:
        """Whether any key was ever made: from then on, calls need one, also if all are revoked."""
        return self._any

    def admit_master(self, secret: str) -> None:
        """A secret that this process hands to its own command line, by a file that only the owner reads."""
        self._master = secret

    async def authenticate(self, evidence: Evidence) -> Caller:
        """The caller behind a bearer secret, or an identity of a network. Raises `Unauthenticated`."""
        if evidence.kind == "envelope":
            return self._identity(evidence.value, evidence.network)
        if evidence.kind != "bearer":
            raise Unauthenticated(f"'{evidence.kind}' is no evidence that this gateway knows")
        return self.bearer(evidence.value, evidence.network)

    def _identity(self, identity: str, network: str) -> Caller:
        """Who is known on a network and not here: let in as the operator says, and by all while nobody has a key."""
        said = self.networks.get(network)
        if self._any and not any(fnmatchcase(identity, glob) for glob in (said.admit if said else ())):
            raise Unauthenticated(
                f"'{identity}' is not let in; the operator does, in the file: [networks.{network}] admit = [\"…\"]"
            )
        return Caller(f"{network}:{identity}", network, identity, said.allow if said else ("*",))

    def bearer(self, secret: str, network: str) -> Caller:
        """As `authenticate`. An empty secret is enough while no keys exist."""
        if secret and self._master and hmac.compare_digest(secret.encode(), self._master.encode()):
            return _by(LOCAL, network, self._local)
        if not secret and not self._any:
            return _by(LOCAL, network, self._local)
        found = self._keys.get(sha256(secret.encode()).hexdigest()) if secret else None
        if found is None:
            text = (
                "this key is not known, or was revoked" if secret else "a key is needed: 'Authorization: Bearer dk_…'"
            )
            raise Unauthenticated(text)
        key, callers = found
        if key.expires is not None and key.expires < time.time():
            raise Unauthenticated("this key has expired")
        self.usage.note(key.id)
        return callers.get(network) or _by(_caller(key), network, callers)

    async def create(self, wanted: Wanted) -> tuple[Key, str]:
        """A new key, and its secret, which is not kept. Raises `CallerError` for roles and limits that do not exist."""
        _require_sound(wanted)
        secret = PREFIX + secrets.token_urlsafe(32)
        now = time.time()
        key = Key(
            id="k" + secrets.token_hex(5), name=wanted.name, allow=wanted.allow, roles=wanted.roles, agent=wanted.agent,
            created=now, expires=None if wanted.days is None else now + wanted.days * 86400, revoked=None,
            rate=wanted.rate, concurrent=wanted.concurrent, daily=wanted.daily, views=wanted.views,
            patience=wanted.patience,
        )  # fmt: skip
        row = {
            "id": key.id, "name": key.name, "hash": sha256(secret.encode()).hexdigest(), "agent": key.agent,
            "allow": json.dumps(key.allow), "roles": json.dumps(key.roles), "created": now, "expires": key.expires,
            "rate": key.rate, "concurrent": key.concurrent, "daily": key.daily, "views": json.dumps(key.views),
            "patience": key.patience,
        }  # fmt: skip
        await self._store.run(lambda connection: connection.execute(insert(keys), row) and None)
        await self.load()
        return key, secret

    async def revoke(self, id: str) -> None:
        """By id or name. Raises `Unknown`."""
        count = await self._store.run(lambda connection: _revoke(connection, id))
        if not count:
            raise Unknown(f"no key '{id}'; see: doolittle keys list")
        await self.load()

    async def list(self) -> list[Key]:
        """All that were ever made, with their use up to now."""
        found = [_key(row) for row in await self._store.run(_all)]
        return [replace(k, last_used=self.usage.last(k.id), today=self.usage.calls(k.id)) for k in found]


def _require_sound(wanted: Wanted) -> None:
    if strange := set(wanted.roles) - ROLES:
        raise CallerError(f"roles are {', '.join(sorted(ROLES))}; not {', '.join(sorted(strange))}")
    try:
        rate(wanted.rate)
    except ValueError as fault:
        raise CallerError(f'write the rate as "60/minute" or "10/second"; not \'{wanted.rate[:40]}\'') from fault
    if any(limit is not None and limit < 1 for limit in (wanted.concurrent, wanted.daily)):
        raise CallerError("limits are numbers from 1; leave one out to have none")


def _by(caller: Caller, network: str, made: dict[str, Caller]) -> Caller:
    """The caller as one that came by this network; made once."""
    found = made.get(network)
    if found is None:
        found = made[network] = replace(caller, network=network)
    return found


def _principal(key: Key) -> str:
    return f"key:{key.id}"


def _caller(key: Key) -> Caller:
    return Caller(
        id=_principal(key), name=key.name, allow=key.allow, roles=frozenset(key.roles), agent=key.agent,
        views=key.views, patience=key.patience,
    )  # fmt: skip


def _allowance(key: Key) -> Allowance:
    return Allowance(key.id, rate(key.rate), key.concurrent, key.daily)


def _key(row: dict[str, Any]) -> Key:
    return Key(
        row["id"], row["name"], tuple(json.loads(row["allow"])), tuple(json.loads(row["roles"])), row["agent"],
        row["created"], row["expires"], row["revoked"], row["rate"], row["concurrent"], row["daily"],
        tuple(json.loads(row["views"])), row["patience"], row["last_used"],
    )  # fmt: skip


def _all(connection: Connection) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(select(keys).order_by(keys.c.created)).mappings()]


def _revoke(connection: Connection, id: str) -> int:
    which = (keys.c.id == id) | (keys.c.name == id)
    return connection.execute(update(keys).where(which, keys.c.revoked.is_(None)).values(revoked=time.time())).rowcount
