"""Keys: who calls, and what they may do. Hashed in the store, read from memory."""

import hmac
import json
import secrets
import time
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, insert, select, update

from adapters.errors import CallerError, Unauthenticated, Unknown
from adapters.spi import Caller, Evidence
from registry.store import Store
from registry.tables import keys

PREFIX = "dk_"
ROLES = frozenset({"call", "admin", "register"})
LOCAL = Caller("local", name="local", roles=frozenset({"call", "admin"}))
"""Whoever calls a gateway on loopback that has no keys."""


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


@dataclass(frozen=True, slots=True)
class Wanted:
    """A key to be made. `days` until it expires; None: never. `agent` is the slug of the agent that will hold it."""

    name: str
    allow: tuple[str, ...] = ("*",)
    roles: tuple[str, ...] = ("call",)
    agent: str = ""
    days: float | None = None


class Keys:
    """All keys. With none, everybody is `LOCAL`; the server then binds to loopback only."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._keys: dict[str, tuple[Key, Caller]] = {}
        self._any = False
        self._master = ""

    async def load(self) -> None:
        """Reads the store anew."""
        rows = await self._store.run(_all)
        self._any = bool(rows)
        self._keys = {row["hash"]: (key := _key(row), _caller(key)) for row in rows if row["revoked"] is None}

    @property
    def exist(self) -> bool:
        """Whether any key was ever made: from then on, calls need one, also if all are revoked."""
        return self._any

    def admit_master(self, secret: str) -> None:
        """A secret that this process hands to its own command line, by a file that only the owner reads."""
        self._master = secret

    async def authenticate(self, evidence: Evidence) -> Caller:
        """The caller behind a bearer secret. Raises `Unauthenticated`."""
        if evidence.kind != "bearer":
            raise Unauthenticated(f"'{evidence.kind}' is no evidence that this gateway knows")
        return self.bearer(evidence.value, evidence.network)

    def bearer(self, secret: str, network: str) -> Caller:
        """As `authenticate`. An empty secret is enough while no keys exist."""
        if secret and self._master and hmac.compare_digest(secret.encode(), self._master.encode()):
            return _by(LOCAL, network)
        if not secret and not self._any:
            return _by(LOCAL, network)
        found = self._keys.get(sha256(secret.encode()).hexdigest()) if secret else None
        if found is None:
            text = (
                "this key is not known, or was revoked" if secret else "a key is needed: 'Authorization: Bearer dk_…'"
            )
            raise Unauthenticated(text)
        key, caller = found
        if key.expires is not None and key.expires < time.time():
            raise Unauthenticated("this key has expired")
        return _by(caller, network)

    async def create(self, wanted: Wanted) -> tuple[Key, str]:
        """A new key, and its secret, which is not kept. Raises `CallerError` for a role that does not exist."""
        if strange := set(wanted.roles) - ROLES:
            raise CallerError(f"roles are {', '.join(sorted(ROLES))}; not {', '.join(sorted(strange))}")
        secret = PREFIX + secrets.token_urlsafe(32)
        now = time.time()
        key = Key(
            id="k" + secrets.token_hex(5), name=wanted.name, allow=wanted.allow, roles=wanted.roles, agent=wanted.agent,
            created=now, expires=None if wanted.days is None else now + wanted.days * 86400, revoked=None,
        )  # fmt: skip
        row = {
            "id": key.id, "name": key.name, "hash": sha256(secret.encode()).hexdigest(), "agent": key.agent,
            "allow": json.dumps(key.allow), "roles": json.dumps(key.roles), "created": now, "expires": key.expires,
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
        return [_key(row) for row in await self._store.run(_all)]


_CACHE: dict[tuple[str, str], Caller] = {}


def _by(caller: Caller, network: str) -> Caller:
    """The caller as one that came by this network; made once."""
    found = _CACHE.get((caller.id, network))
    if found is None or (found.allow, found.roles, found.agent) != (caller.allow, caller.roles, caller.agent):
        found = Caller(caller.id, network, caller.name, caller.allow, caller.roles, caller.agent)
        if len(_CACHE) < 10_000:
            _CACHE[(caller.id, network)] = found
    return found


def _caller(key: Key) -> Caller:
    return Caller(id=f"key:{key.id}", name=key.name, allow=key.allow, roles=frozenset(key.roles), agent=key.agent)


def _key(row: dict[str, Any]) -> Key:
    return Key(
        row["id"], row["name"], tuple(json.loads(row["allow"])), tuple(json.loads(row["roles"])), row["agent"],
        row["created"], row["expires"], row["revoked"],
    )  # fmt: skip


def _all(connection: Connection) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(select(keys).order_by(keys.c.created)).mappings()]


def _revoke(connection: Connection, id: str) -> int:
    which = (keys.c.id == id) | (keys.c.name == id)
    return connection.execute(update(keys).where(which, keys.c.revoked.is_(None)).values(revoked=time.time())).rowcount
