"""Makes the published agents known: to the Almanac, and to Agentverse where the operator has a key for it.

Off unless the operator says so. Nothing waits for it: without a network it tries again, later each time, and says so
once.
"""

import asyncio
import base64
import struct
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from secrets import token_bytes
from typing import Any
from uuid import UUID

import orjson
from uagents_core.registration import RegistrationRequest
from uagents_core.types import AgentEndpoint

from adapters.errors import BadArguments, GatewayError
from adapters.spi import Host
from adapters.uagents import FaceOptions, almanac
from adapters.uagents.almanac import Almanac
from adapters.uagents.roster import Entry, Roster
from adapters.uagents.signing import Signer

RENEW = 3600.0
"""Seconds after which an agent is made known again; the Almanac forgets it after 48 hours."""
BATCH = 100
LOOK = 5.0
"""Seconds between two looks at who is new."""
LONGEST = 900.0
"""Seconds between two attempts at most, while they fail."""
POLL = 1.0
TOKEN = 1000
"""Seconds for which a token of the mailbox is good."""


class Registrar:
    """Of one face."""

    def __init__(self, host: Host, options: FaceOptions, directory: Almanac, roster: Roster) -> None:
        self._host = host
        self._options = options
        self._almanac = directory
        self._roster = roster
        self._known: dict[str, tuple[float, tuple[str, ...]]] = {}
        self._manifests: set[str] = set()
        self._entered: dict[str, str] = {}
        self._tokens: dict[str, tuple[float, str]] = {}

    @property
    def endpoint(self) -> str:
        """Where the agents say that they are."""
        if self._options.mailbox:
            return f"{self._almanac.base}/v2/agents/mailbox/submit"
        return f"{self._host.base_url}/uagents/submit"

    async def run(self) -> None:
        """Until it is cancelled: all that are new, changed, or due again."""
        wait, said = LOOK, ""
        while True:
            try:
                await self.due()
                wait, said = LOOK, ""
            except GatewayError as fault:
                if fault.public != said:
                    said = fault.public
                    self._host.log.warning("agents are not made known", said=said, detail=fault.detail)
                wait = min(LONGEST, wait * 2)
            await asyncio.sleep(wait)

    async def due(self) -> int:
        """One look; how many were made known. Raises `GatewayError`s."""
        now = time.monotonic()
        entries = list(self._roster.current.values())
        found: list[Entry] = []
        for at, entry in enumerate(entries):
            known = self._known.get(entry.signer.address)
            if known is None or now - known[0] > RENEW or known[1] != tuple(entry.protocols):
                found.append(entry)
            if at % 20 == 19:
                await asyncio.sleep(0)  # models are made here, and calls go on meanwhile
        for at in range(0, len(found), BATCH):
            await self.register(found[at : at + BATCH])
        return len(found)

    async def register(self, entries: Sequence[Entry]) -> str:
        """Makes these known now; where. Raises `BadArguments` where it is off, and `GatewayError`s of far sides."""
        if self._options.registration == "off":
            raise BadArguments('registration is off; in the file: [networks.uagents] registration = "almanac"')
        for entry in entries:
            await self._publish(entry)
        await self._almanac.attest([self._attestation(entry) for entry in entries])
        if self._options.registration == "agentverse":
            for entry in entries:
                await self._enter(entry)
        now = time.monotonic()
        self._known |= {e.signer.address: (now, tuple(e.protocols)) for e in entries}
        return self._options.registration

    async def _enter(self, entry: Entry) -> None:
        """In Agentverse a registration stays: once, and again when what it says has changed."""
        request = self._request(entry)
        said = request.model_dump_json()
        if self._entered.get(entry.signer.address) != said:
            await self._almanac.enter(entry.signer, request)
            self._entered[entry.signer.address] = said

    async def _publish(self, entry: Entry) -> None:
        """The manifest of its typed protocol, once for each digest."""
        if not entry.pairs:
            return
        manifest = entry.manifest()
        if manifest["metadata"]["digest"] not in self._manifests:
            await self._almanac.publish(manifest)
            self._manifests.add(manifest["metadata"]["digest"])

    def _attestation(self, entry: Entry) -> Any:
        return almanac.attestation(entry.signer, self.endpoint, entry.protocols, {"name": entry.agent.name[:80]})

    def _request(self, entry: Entry) -> RegistrationRequest:
        prompts = ["What can you do?"] if entry.talks is None else ["Hello!", "What can you do?"]
        agent = entry.agent
        name, profile = almanac.profile(agent.name, agent.description, readme(entry), prompts)
        return RegistrationRequest(
            address=entry.signer.address, name=name, handle=None, url=None, profile=profile,
            agent_type="mailbox" if self._options.mailbox else "uagent",
            endpoints=[AgentEndpoint(url=self.endpoint, weight=1)], protocols=entry.protocols, metadata=None,
        )  # fmt: skip

    # -- the mailbox ----------------------------------------------------------------------------------------------

    async def fetch(self, take: Callable[[bytes], Awaitable[None]]) -> None:
        """Until it is cancelled: what waits in the mailbox of each agent."""
        wait, said = POLL, ""
        while True:
            try:
                for entry in list(self._roster.current.values()):
                    await self._empty(entry.signer, take)
                wait, said = POLL, ""
            except GatewayError as fault:
                if fault.public != said:
                    said = fault.public
                    self._host.log.warning("the mailbox cannot be read", said=said, detail=fault.detail)
                wait = min(LONGEST, wait * 2)
            await asyncio.sleep(wait)

    async def _empty(self, signer: Signer, take: Callable[[bytes], Awaitable[None]]) -> None:
        token = self._token(signer)
        for one in await self._almanac.mailbox(signer, token):
            await take(orjson.dumps(one.get("envelope")))
            with suppress(ValueError):  # else it is no id, and leads to another path
                await self._almanac.took(signer, token, str(UUID(str(one.get("uuid")))))

    def _token(self, signer: Signer) -> str:
        known = self._tokens.get(signer.address)
        now = time.time()
        if known is None or known[0] < now + 10:
            known = self._tokens[signer.address] = (now + TOKEN, attest(signer, int(now), TOKEN))
        return known[1]


def attest(signer: Signer, since: int, seconds: int) -> str:
    """The token of `uagents_core.storage.compute_attestation`."""
    payload = signer.public + struct.pack(">QQ", since, since + seconds) + token_bytes(32)
    return f"attr:{base64.b64encode(payload).decode()}:{signer.sign(payload)}"


def readme(entry: Entry) -> str:
    """What Agentverse and ASI:One read and rank by: what the agent is, and each thing that it does."""
    agent = entry.agent
    lines = [f"# {agent.name}", "", agent.description, "", "## What it does", ""]
    lines += [f"- **{tool.title or tool.name}**: {tool.description}" for tool in agent.tools]
    lines += ["", "Speaks the Agent Chat Protocol, and the MCP protocol of uAgents."]
    return "\n".join(lines)
