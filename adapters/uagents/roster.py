"""The agents that are published, each with an identity of its own, and who answers for what."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from adapters.spi import Agent, Caller, Catalog, Keyring, Tool
from adapters.talk import Talk, talk
from adapters.uagents import calling, chat, typed
from adapters.uagents.signing import Signer
from adapters.uagents.typed import Pair

NETWORK = "uagents"
EVERYBODY = Caller("publisher", NETWORK)
"""Sees all agents; what a caller may do is asked at each call."""


@dataclass(slots=True)
class Entry:
    """One published agent. Its models are made when they are first asked for."""

    agent: Agent
    signer: Signer
    _pairs: dict[str, Pair] | None = field(default=None, repr=False)

    @property
    def pairs(self) -> dict[str, Pair]:
        """By the digest of the request."""
        if self._pairs is None:
            self._pairs = {pair.request.digest: pair for pair in typed.pairs(self.agent)}
        return self._pairs

    @property
    def protocols(self) -> list[str]:
        """Digests of what it speaks."""
        own = [self.manifest()["metadata"]["digest"]] if self.pairs else []
        return [chat.DIGEST, calling.MCP, *own]

    def manifest(self) -> dict[str, Any]:
        """Of its typed protocol."""
        return typed.protocol(self.agent, list(self.pairs.values())).manifest()

    def tool(self, name: str) -> Tool | None:
        """By its public name, or the part of it after the agent's."""
        return next((t for t in self.agent.tools if name in (t.name, t.name.partition("__")[2])), None)

    @property
    def talks(self) -> Talk | None:
        """How the agent is talked with, if it talks."""
        return talk(self.agent)


class Roster:
    """Follows the catalogue and the keyring: looked over anew when one of them has changed."""

    def __init__(self, catalog: Catalog, keyring: Keyring, publish: Iterable[str]) -> None:
        self._catalog = catalog
        self._keyring = keyring
        self._publish = tuple(publish)
        self._seen = (-1, -1)
        self._entries: dict[str, Entry] = {}
        self._signers: dict[str, Signer] = {}

    @property
    def current(self) -> dict[str, Entry]:
        """By address."""
        seen = (self._catalog.revision, self._keyring.revision)
        if seen != self._seen:
            if seen[1] != self._seen[1]:
                self._signers = {}
            self._entries = {entry.signer.address: entry for entry in self._made()}
            self._seen = seen
        return self._entries

    def _made(self) -> Iterable[Entry]:
        known = {entry.agent.slug: entry for entry in self._entries.values()}
        for agent in self._catalog.agents(EVERYBODY):
            if agent.address.network == NETWORK or not any(fnmatchcase(agent.slug, glob) for glob in self._publish):
                continue
            signer = self._signers.get(agent.slug)
            if signer is None:
                signer = self._signers[agent.slug] = Signer(self._keyring.seed(NETWORK, agent.slug))
            before = known.get(agent.slug)
            same = before is not None and before.agent is agent and before.signer is signer
            yield before if before is not None and same else Entry(agent, signer)

    def find(self, slug: str) -> Entry | None:
        return next((entry for entry in self.current.values() if entry.agent.slug == slug), None)
