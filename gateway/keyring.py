"""Identities of our own on other networks: all from one master seed, which is sealed in the store.

A seed is derived from the master by its path (network, agent) and the generation of that path: the same for ever, until
somebody rotates it. Paths are no secrets; without the master nothing can be guessed from them.
"""

import asyncio
import base64
import json
import secrets
from contextlib import suppress
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from sqlalchemy import Connection, delete, insert, select
from sqlalchemy.exc import IntegrityError

from adapters.errors import BadArguments, Conflict, Expired
from gateway.seal import Seal
from registry.store import Store
from registry.tables import state as table

NAMESPACE = "keyring"
PURPOSE = "keyring"
KIND = "doolittle-keyring-1"
LEAST = 12
"""Letters of a passphrase."""
WORK = 2**15
"""The cost of trying one passphrase (scrypt's n): 32 MB and a tenth of a second."""


class MasterKeyring:
    """`adapters.spi.Keyring`. `load` it first."""

    def __init__(self, store: Store, seal: Seal) -> None:
        self._store = store
        self._seal = seal
        self._master = b""
        self._generations: dict[tuple[str, ...], int] = {}
        self.revision = 0

    async def load(self) -> None:
        """Reads the store; the first time, makes the master seed."""
        found = await self._store.run(_read)
        if "master" not in found:
            sealed = self._seal.seal(secrets.token_bytes(32), PURPOSE)
            with suppress(IntegrityError):  # another replica was faster
                await self._store.run(lambda connection: _write(connection, master=sealed))
            found = await self._store.run(_read)
        try:
            self._master = self._seal.open(found["master"], PURPOSE)
        except Expired:
            self._master = b""
        self._generations = {tuple(path): n for path, n in json.loads(found.get("generations", b"[]"))}
        self.revision += 1

    def seed(self, *path: str) -> bytes:
        """As `adapters.spi.Keyring.seed`. Raises `Conflict` where the sealing key is not the one that it was."""
        return self._derive(b"seed", path, self._generations.get(path, 0))

    def _derive(self, what: bytes, path: tuple[str, ...], generation: int) -> bytes:
        if not self._master:
            raise Conflict(
                "the master seed was sealed with another sealing key; bring that key back, or the seed with: "
                "doolittle keyring import FILE --replace"
            )
        pieces = [piece.encode() for piece in path]
        info = what + b"".join(len(p).to_bytes(4, "big") + p for p in pieces) + generation.to_bytes(4, "big")
        return HKDF(SHA256(), 32, b"doolittle keyring", info).derive(self._master)

    @property
    def fingerprint(self) -> str:
        """Tells one master seed from another, and nothing of it."""
        return sha256(self._derive(b"fingerprint", (), 0)).hexdigest()[:16] if self._master else ""

    def rotated(self) -> list[tuple[tuple[str, ...], int]]:
        """The paths that were rotated, each with its generation."""
        return sorted(self._generations.items())

    async def rotate(self, path: tuple[str, ...]) -> int:
        """Gives the path a new seed, for ever; its new generation. Raises `BadArguments`."""
        if len(path) < 2 or not all(0 < len(p) <= 128 and p.isprintable() for p in path):
            raise BadArguments("a path is a network and the slug of an agent, each printable and at most 128 letters")
        generation = self._generations.get(path, 0) + 1
        await self._keep({**self._generations, path: generation})
        return generation

    async def _keep(self, generations: dict[tuple[str, ...], int], master: bytes = b"") -> None:
        more = {"master": self._seal.seal(master, PURPOSE)} if master else {}
        document = json.dumps([[list(path), n] for path, n in sorted(generations.items())]).encode()
        await self._store.run(lambda connection: _write(connection, generations=document, **more))
        self._generations, self._master = generations, master or self._master
        self.revision += 1

    # -- out of here, and back ------------------------------------------------------------------------------------

    async def export(self, passphrase: str) -> str:
        """Master seed and generations as a JSON document that only the passphrase opens. Raises `BadArguments`."""
        self._derive(b"", (), 0)
        inside = {"master": self._master.hex(), "generations": [[list(p), n] for p, n in self.rotated()]}
        salt, nonce = secrets.token_bytes(16), secrets.token_bytes(12)
        key = await _key(passphrase, salt)
        sealed = AESGCM(key).encrypt(nonce, json.dumps(inside).encode(), KIND.encode())
        said = {"kind": KIND, "salt": salt, "nonce": nonce, "sealed": sealed}
        return json.dumps({k: base64.b64encode(v).decode() if isinstance(v, bytes) else v for k, v in said.items()})

    async def replace(self, document: str, passphrase: str) -> None:
        """Takes over what `export` gave; what was here is gone. Raises `BadArguments` and changes nothing."""
        try:
            said = json.loads(document)
            salt, nonce, sealed = (base64.b64decode(said[name], validate=True) for name in ("salt", "nonce", "sealed"))
            if said["kind"] != KIND:
                raise ValueError(said["kind"])
            inside = AESGCM(await _key(passphrase, salt)).decrypt(nonce, sealed, KIND.encode())
            opened = json.loads(inside)
        except InvalidTag as fault:
            raise BadArguments("the passphrase does not open this file") from fault
        except (ValueError, TypeError, KeyError) as fault:
            raise BadArguments("this is no file of: doolittle keyring export") from fault
        generations = {tuple(map(str, path)): int(n) for path, n in opened["generations"]}
        await self._keep(generations, bytes.fromhex(opened["master"]))


async def _key(passphrase: str, salt: bytes) -> bytes:
    if len(passphrase) < LEAST:
        raise BadArguments(f"the passphrase has at least {LEAST} letters: whoever gets the file may try as they like")
    return await asyncio.to_thread(Scrypt(salt, 32, WORK, 8, 1).derive, passphrase.encode())


def _read(connection: Connection) -> dict[str, Any]:
    rows = connection.execute(select(table.c.key, table.c.value).where(table.c.namespace == NAMESPACE))
    return {row.key: row.value for row in rows}


def _write(connection: Connection, **values: bytes) -> None:
    if "generations" in values:
        connection.execute(delete(table).where(table.c.namespace == NAMESPACE, table.c.key.in_(list(values))))
    for key, value in values.items():
        connection.execute(insert(table).values(namespace=NAMESPACE, key=key, value=value))
