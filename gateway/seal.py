"""Secrets at rest: AES-256-GCM under one key that only the owner reads."""

import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from adapters.errors import Expired
from gateway.settings import ConfigFault, owner_only, secret

VERSION = b"\x01"


class Seal:
    """Seals bytes for one purpose."""

    def __init__(self, key: bytes) -> None:
        if len(key) != 32:
            raise ConfigFault("the sealing key must be 32 bytes, as 64 hex digits")
        self._key = key
        self._aead = AESGCM(self._derive(b"seal"))

    def seal(self, plain: bytes, purpose: str) -> bytes:
        """Version, 12 bytes of nonce, cipher text. Opens only for the same purpose."""
        nonce = secrets.token_bytes(12)
        return VERSION + nonce + self._aead.encrypt(nonce, plain, purpose.encode())

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """Raises `Expired` for what was not sealed here for this purpose."""
        if sealed[:1] != VERSION or len(sealed) < 29:
            raise Expired("this token was not made by this gateway")
        try:
            return self._aead.decrypt(sealed[1:13], sealed[13:], purpose.encode())
        except InvalidTag as fault:
            raise Expired("this token was not made by this gateway, or for something else") from fault

    def _derive(self, info: bytes) -> bytes:
        return HKDF(SHA256(), 32, b"doolittle", info).derive(self._key)


def load(reference: str, data_dir: Path) -> Seal:
    """The seal for a `seal_key` setting; empty: a file in `data_dir`, made on first use. Raises `ConfigFault`."""
    text = secret(reference, data_dir.parent) if reference else _own_file(data_dir / "seal.key")
    try:
        return Seal(bytes.fromhex(text))
    except ValueError as fault:
        raise ConfigFault("the sealing key must be 32 bytes, as 64 hex digits") from fault


def _own_file(path: Path) -> str:
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_hex(32))
        except FileExistsError:  # another process was faster
            pass
    return owner_only(path).read_text().strip()
