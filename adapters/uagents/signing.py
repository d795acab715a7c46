"""Identities and signatures on coincurve: ten times faster than the pure Python of `uagents_core`, the same bytes."""

import secrets
from functools import lru_cache
from hashlib import sha256

from coincurve import PrivateKey, PublicKey
from coincurve.ecdsa import cdata_to_der, deserialize_compact, signature_normalize

from adapters.uagents import bech32

ADDRESS = 65
"""Letters of an address."""


class Signer:
    """A key pair with the methods of `uagents_core.identity.Identity` that its models ask for."""

    __slots__ = ("_key", "address", "public")

    def __init__(self, key: bytes) -> None:
        self._key = PrivateKey(key)
        self.public = self._key.public_key.format()
        self.address = bech32.encode("agent", self.public)

    @classmethod
    def fresh(cls) -> "Signer":
        """Of nobody: for one call."""
        return cls(secrets.token_bytes(32))

    def sign_digest(self, digest: bytes) -> str:
        return bech32.encode("sig", self._key.sign_recoverable(digest, hasher=None)[:64])

    def sign(self, data: bytes) -> str:
        return self.sign_digest(sha256(data).digest())


@lru_cache(10_000)
def _key(address: str) -> PublicKey:
    if len(address) != ADDRESS:
        raise ValueError("not an address")
    return PublicKey(bech32.decode("agent", address))


def verify(address: str, digest: bytes, signature: str) -> bool:
    """Whether the owner of the address signed the digest. Never raises.

    Peers on python-ecdsa make signatures with a high s, which libsecp256k1 takes only when it is normalised.
    """
    try:
        raw = bech32.decode("sig", signature)
        if len(raw) != 64:
            return False
        _, low = signature_normalize(deserialize_compact(raw))
        return _key(address).verify(cdata_to_der(low), digest, hasher=None)
    except ValueError:
        return False
