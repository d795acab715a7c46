"""The Almanac and Agentverse over HTTP: where agents are, what they speak, and how ours are made known.

What a record says is a stranger's word. Its endpoints are reached by the guarded client only.
"""

import json
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import httpx2
import orjson
from uagents_core.protocol import ProtocolSpecification
from uagents_core.registration import (
    AgentProfile,
    AgentRegistrationAttestation,
    AgentRegistrationAttestationBatch,
    AgentStatusUpdate,
    IdentityProof,
    RegistrationRequest,
)
from uagents_core.types import AgentEndpoint

from adapters import wire
from adapters.errors import Broken, ConnectFailed, Refused, Unknown
from adapters.uagents.signing import ADDRESS, Signer

FOUND, MISSED = 60.0, 5.0
"""Seconds for which a record is believed, and for which one that is not there is not asked for again."""
KEPT = 10_000
ENDPOINTS = 10
LIMIT = 4 * 2**20
MOST = 50
"""Agents that one search gives at most."""


class Almanac:
    """One of them. `pinned`: endpoints by the operator's word, in place of records."""

    def __init__(
        self, client: httpx2.AsyncClient, base: str, pinned: Mapping[str, str] | None = None, key: str = ""
    ) -> None:
        self._client = client
        self.base = base.rstrip("/")
        self._pinned = dict(pinned or {})
        self._key = key
        self._records: OrderedDict[str, tuple[float, dict[str, Any] | None]] = OrderedDict()
        self._manifests: OrderedDict[str, dict[str, Any]] = OrderedDict()

    # -- asked ----------------------------------------------------------------------------------------------------

    async def record(self, address: str, *, fresh: bool = False) -> dict[str, Any] | None:
        """The record of an agent, believed for a while unless it must be `fresh`; None: there is none. Raises
        `GatewayError`s."""
        known = self._records.get(address)
        if known is not None and known[0] > time.monotonic() and not fresh:
            return known[1]
        status, found = await self._ask("GET", f"/v1/almanac/agents/{address}")
        record = found if status == 200 and isinstance(found, dict) and found.get("expiry") else None
        if status not in (200, 404):
            raise Refused(f"the Almanac answered {status}", delivered="no")
        self._records[address] = (time.monotonic() + (FOUND if record else MISSED), record)
        while len(self._records) > KEPT:
            self._records.popitem(last=False)
        return record

    def forget(self, address: str) -> None:
        """The record did not hold: it is asked for anew."""
        self._records.pop(address, None)

    async def endpoints(self, address: str) -> list[str]:
        """Where an agent takes envelopes. Raises `Unknown` where nobody knows."""
        if address in self._pinned:
            return [self._pinned[address]]
        record = await self.record(address)
        said = record.get("endpoints") if record else None
        found = [one for one in said if isinstance(one, dict)] if isinstance(said, list) else []
        found.sort(key=_weight, reverse=True)
        urls = [str(one.get("url")) for one in found][:ENDPOINTS]
        if not urls:
            raise Unknown(f"the Almanac knows no endpoint of {address}")
        return urls

    async def manifest(self, digest: str) -> dict[str, Any] | None:
        """The manifest of a protocol; None where it is not known, or is not what its digest says."""
        known = self._manifests.get(digest)
        if known is not None:
            return known
        status, found = await self._ask("GET", f"/v1/almanac/manifests/protocols/{digest}")
        if status != 200 or not isinstance(found, dict):
            return None
        try:
            if ProtocolSpecification.compute_digest(found) != digest:
                return None
        except (KeyError, TypeError, AttributeError, RecursionError):
            return None
        self._manifests[digest] = found
        while len(self._manifests) > KEPT // 10:
            self._manifests.popitem(last=False)
        return found

    async def speaking(self, protocol: str) -> list[str]:
        """Addresses of active agents that speak a protocol, at most `MOST`."""
        status, found = await self._ask("POST", "/v1/almanac/search", {"text": protocol.removeprefix("proto:")})
        return self._active(status, found)

    async def search(self, words: str) -> list[str]:
        """Addresses of active agents by words, best first, at most `MOST`."""
        said = {"filters": {"state": ["active"]}, "sort": "relevancy", "search_text": words, "limit": MOST}
        status, found = await self._ask("POST", "/v1/search", said)
        return self._active(status, found.get("agents") if isinstance(found, dict) else None)

    def _active(self, status: int, found: Any) -> list[str]:
        if status != 200 or not isinstance(found, list):
            raise Refused(f"the search was answered with {status}", delivered="no")
        agents = [a for a in found if isinstance(a, dict) and a.get("status") == "active"]
        addresses = [str(a.get("address")) for a in agents]
        return list(dict.fromkeys(a for a in addresses if is_address(a)))[:MOST]

    # -- told -----------------------------------------------------------------------------------------------------

    async def attest(self, attestations: Sequence[AgentRegistrationAttestation]) -> None:
        """Makes agents known, many at once. Raises `GatewayError`s."""
        if len(attestations) == 1:
            await self._tell("/v1/almanac/agents", attestations[0].model_dump())
        else:
            batch = AgentRegistrationAttestationBatch(attestations=list(attestations))
            await self._tell("/v1/almanac/agents/batch", batch.model_dump())

    async def status(self, signer: Signer, active: bool) -> None:
        update = AgentStatusUpdate(agent_identifier=signer.address, is_active=active)
        sign(update, signer)
        await self._tell(f"/v1/almanac/agents/{signer.address}/status", update.model_dump())

    async def publish(self, manifest: Mapping[str, Any]) -> None:
        await self._tell("/v1/almanac/manifests", manifest)

    async def enter(self, signer: Signer, request: RegistrationRequest) -> None:
        """Registers with Agentverse by the operator's key. Raises `GatewayError`s."""
        bearer = {"authorization": f"Bearer {self._key}"}
        status, found = await self._ask("GET", f"/v2/identity/{signer.address}/challenge", headers=bearer)
        challenge = found.get("challenge") if isinstance(found, dict) else None
        if status != 200 or not isinstance(challenge, str):
            raise Refused(f"Agentverse gave no challenge ({status})", delivered="no")
        proof = IdentityProof(
            address=signer.address, challenge=challenge, challenge_response=signer.sign(challenge.encode())
        )
        await self._tell("/v2/identity", proof.model_dump(), bearer)
        await self._tell("/v2/agents", request.model_dump(), bearer)

    async def mailbox(self, signer: Signer, token: str) -> list[dict[str, Any]]:
        """What waits for an agent: each with `uuid` and `envelope`."""
        headers = {"authorization": f"Agent {token}"}
        status, found = await self._ask("GET", f"/v2/agents/{signer.address}/mailbox", headers=headers)
        if status != 200 or not isinstance(found, list):
            raise Refused(f"the mailbox was answered with {status}", delivered="no")
        return [one for one in found if isinstance(one, dict)]

    async def took(self, signer: Signer, token: str, id: str) -> None:
        """It need not be kept any longer."""
        headers = {"authorization": f"Agent {token}"}
        await self._ask("DELETE", f"/v2/agents/{signer.address}/mailbox/{id}", headers=headers)

    async def _tell(self, path: str, document: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        status, found = await self._ask("POST", path, document, headers)
        if status not in (200, 201):
            said = found.get("detail") if isinstance(found, dict) else None
            raise Refused(f"{self.base}{path.partition('agent1')[0]} answered {status}: {str(said)[:200]}")

    async def _ask(
        self, method: str, path: str, document: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Any]:  # fmt: skip
        said = {"content-type": "application/json", **(headers or {})}
        body = None if document is None else orjson.dumps(document, default=str)
        try:
            request = self._client.build_request(method, self.base + path, content=body, headers=said, timeout=15)
        except (httpx2.InvalidURL, ValueError) as fault:
            raise ConnectFailed(f"'{self.base}' is no address of an Almanac", delivered="no") from fault
        response, answer = await wire.send(self._client, request, self.base)
        try:
            return response.status_code, orjson.loads(answer) if answer else None
        except orjson.JSONDecodeError as fault:
            if response.status_code != 200:
                return response.status_code, None
            raise Broken(f"'{self.base}' answered something that is not JSON") from fault


def is_address(text: str) -> bool:
    return len(text) == ADDRESS and text.startswith("agent1") and text.isascii() and text.isalnum()


def _weight(one: dict[str, Any]) -> float:
    weight = one.get("weight")
    return weight if isinstance(weight, int | float) else 0


def sign(model: Any, signer: Signer) -> None:
    """As `uagents_core.registration.VerifiableModel.sign`: over the sorted, compact JSON without the signature."""
    model.timestamp = int(time.time())
    said = json.dumps(model.model_dump(exclude={"signature"}), sort_keys=True, separators=(",", ":"))
    model.signature = signer.sign_digest(sha256(said.encode()).digest())


def attestation(
    signer: Signer, url: str, protocols: Sequence[str], metadata: Mapping[str, Any] | None = None
) -> AgentRegistrationAttestation:
    """Signed just now: an old one is refused."""
    made = AgentRegistrationAttestation(
        agent_identifier=f"agent://{signer.address}",
        protocols=list(protocols),
        endpoints=[AgentEndpoint(url=url, weight=1)],
        metadata=dict(metadata) if metadata else None,
    )
    sign(made, signer)
    return made


def profile(name: str, description: str, readme: str, prompts: Sequence[str]) -> tuple[str, AgentProfile]:
    """Name and profile as Agentverse takes them, cut to its limits."""
    cut = description if len(description) <= 300 else description[:299] + "…"
    return name[:32] or "agent", AgentProfile(description=cut, readme=readme[:80_000], starter_prompts=list(prompts))
