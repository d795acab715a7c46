"""A stand-in for the Almanac API and Agentverse, on loopback: strict about signatures, timestamps and expiry.

The real ones are not reached by any test. Paths and models are those that `uagents` 0.26.1 and `uagents-core` 0.4.12
speak; what they answer beyond that is not imitated. `python -m tests.e2e.uagents.almanac PORT` serves it.
"""

import datetime as dt
import hashlib
import json
import secrets
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import ecdsa
import uvicorn
from fastapi import FastAPI, Header, HTTPException, Request
from fastapi.responses import JSONResponse
from uagents_core.envelope import Envelope
from uagents_core.identity import Identity, _decode_bech32, parse_identifier
from uagents_core.protocol import ProtocolSpecification
from uagents_core.registration import (
    AgentRegistrationAttestation,
    AgentRegistrationAttestationBatch,
    AgentStatusUpdate,
    IdentityProof,
    RegistrationRequest,
)

KEY = "the-key-of-the-test-agentverse"
FRESH = 300
"""Seconds for which a signed attestation is taken."""
HOURS = 48


class Almanac:
    """What it holds. `broken`: paths that begin so are answered 500, after so many good answers."""

    def __init__(self) -> None:
        self.agents: dict[str, dict[str, Any]] = {}
        self.manifests: dict[str, dict[str, Any]] = {}
        self.profiles: dict[str, dict[str, Any]] = {}
        self.boxes: dict[str, dict[str, dict[str, Any]]] = {}
        self.seen: list[tuple[str, str]] = []
        self.refused: list[str] = []
        self.broken: dict[str, int] = {}
        self._challenges: dict[str, str] = {}
        self._proven: set[str] = set()

    def refuse(self, status: int, said: str) -> HTTPException:
        self.refused.append(said)
        return HTTPException(status, said)

    def attested(self, said: AgentRegistrationAttestation) -> None:
        try:
            good = said.verify()
        except (ValueError, ecdsa.BadSignatureError, ecdsa.MalformedPointError):
            good = False
        if not good:
            raise self.refuse(401, "bad signature")
        if abs(time.time() - (said.timestamp or 0)) > FRESH:
            raise self.refuse(400, "stale attestation")
        if not said.endpoints:
            raise self.refuse(400, "no endpoints")
        prefix, _, address = parse_identifier(said.agent_identifier)
        expiry = dt.datetime.now(dt.UTC) + dt.timedelta(hours=HOURS)
        self.agents[address] = {
            "address": address, "prefix": prefix or "agent", "status": "active", "type": "custom",
            "endpoints": [e.model_dump() for e in said.endpoints], "protocols": said.protocols,
            "metadata": said.metadata, "expiry": expiry.isoformat(),
        }  # fmt: skip

    def record(self, address: str) -> dict[str, Any]:
        found = self.agents.get(address)
        if found is None or dt.datetime.fromisoformat(found["expiry"]) < dt.datetime.now(dt.UTC):
            raise HTTPException(404, "not found")
        return found

    def challenge(self, address: str) -> str:
        return self._challenges.setdefault(address, secrets.token_hex(16))

    def prove(self, proof: IdentityProof) -> None:
        _, key = _decode_bech32(proof.address)
        _, signature = _decode_bech32(proof.challenge_response)
        checker: Any = ecdsa.VerifyingKey.from_string(key, curve=ecdsa.SECP256k1, hashfunc=hashlib.sha256)
        if self._challenges.pop(proof.address, "") != proof.challenge:
            raise self.refuse(400, "no such challenge")
        try:
            checker.verify(signature, proof.challenge.encode())
        except ecdsa.BadSignatureError as fault:
            raise self.refuse(401, "bad proof") from fault
        self._proven.add(proof.address)

    def enter(self, request: RegistrationRequest) -> None:
        if request.address not in self._proven:
            raise self.refuse(403, "identity not proven")
        self.profiles[request.address] = request.model_dump()
        if request.agent_type == "mailbox":
            self.boxes.setdefault(request.address, {})

    def owner(self, token: str, address: str) -> None:
        """Of a mailbox, by the token that its owner signed."""
        scheme, _, rest = token.partition(" ")
        parts = rest.split(":")
        if scheme != "Agent" or len(parts) != 3 or parts[0] != "attr":
            raise self.refuse(401, "no attestation")
        import base64
        import struct

        payload = base64.b64decode(parts[1])
        since, until = struct.unpack(">QQ", payload[33:49])
        digest = hashlib.sha256(payload).digest()
        _, key = _decode_bech32(address)
        if len(payload) != 81 or payload[:33] != key or not since <= time.time() <= until:
            raise self.refuse(401, "bad attestation")
        try:
            Identity.verify_digest(address, digest, parts[2])
        except ecdsa.BadSignatureError as fault:
            raise self.refuse(401, "bad attestation") from fault


def app(of: Almanac) -> FastAPI:
    made = FastAPI()

    @made.middleware("http")
    async def watched(request: Request, go: Any) -> Any:
        of.seen.append((request.method, request.url.path))
        for path, left in of.broken.items():
            if request.url.path.startswith(path):
                if left <= 0:
                    return JSONResponse({"detail": "out of order"}, 500)
                of.broken[path] = left - 1
        return await go(request)

    _registrations(made, of)
    _lookups(made, of)
    _agentverse(made, of)
    _mailboxes(made, of)
    return made


def _registrations(made: FastAPI, of: Almanac) -> None:
    @made.post("/v1/almanac/agents")
    async def one(said: AgentRegistrationAttestation) -> dict[str, str]:
        of.attested(said)
        return {}

    @made.post("/v1/almanac/agents/batch")
    async def batch(said: AgentRegistrationAttestationBatch) -> dict[str, str]:
        for attestation in said.attestations:
            of.attested(attestation)
        return {}

    @made.post("/v1/almanac/agents/{address}/status")
    async def status(address: str, said: AgentStatusUpdate) -> dict[str, str]:
        if not said.verify() or abs(time.time() - (said.timestamp or 0)) > FRESH:
            raise of.refuse(401, "bad status")
        if address in of.agents:
            of.agents[address]["status"] = "active" if said.is_active else "inactive"
        return {}


def _lookups(made: FastAPI, of: Almanac) -> None:
    @made.get("/v1/almanac/agents/{address}")
    async def get(address: str) -> dict[str, Any]:
        return of.record(address)

    @made.post("/v1/almanac/search")
    async def speaking(said: dict[str, str]) -> list[dict[str, Any]]:
        return [a for a in of.agents.values() if f"proto:{said['text']}" in a["protocols"]]

    @made.post("/v1/almanac/manifests")
    async def manifest(said: dict[str, Any]) -> dict[str, str]:
        digest = ProtocolSpecification.compute_digest(said)
        if digest != said["metadata"].get("digest"):
            raise of.refuse(400, "digest mismatch")
        of.manifests[digest] = said
        return {}

    @made.get("/v1/almanac/manifests/protocols/{digest}")
    async def protocol(digest: str) -> dict[str, Any]:
        if digest not in of.manifests:
            raise HTTPException(404, "not found")
        return of.manifests[digest]


def _agentverse(made: FastAPI, of: Almanac) -> None:
    def keyed(authorization: str) -> None:
        if authorization != f"Bearer {KEY}":
            raise of.refuse(401, "no valid key")

    @made.post("/v1/search")
    async def search(said: dict[str, Any]) -> dict[str, Any]:
        words = str(said.get("search_text") or "").lower().split()
        found = [a for a in of.agents.values() if all(w in json.dumps(a).lower() for w in words)]
        return {"agents": found[: said.get("limit", 30)], "total": len(found)}

    @made.get("/v2/identity/{address}/challenge")
    async def challenge(address: str, authorization: str = Header("")) -> dict[str, str]:
        keyed(authorization)
        return {"challenge": of.challenge(address)}

    @made.post("/v2/identity")
    async def prove(said: IdentityProof, authorization: str = Header("")) -> dict[str, str]:
        keyed(authorization)
        of.prove(said)
        return {"address": said.address}

    @made.post("/v2/agents")
    async def enter(said: RegistrationRequest, authorization: str = Header("")) -> dict[str, bool]:
        keyed(authorization)
        of.enter(said)
        return {"success": True}


def _mailboxes(made: FastAPI, of: Almanac) -> None:
    @made.post("/v2/agents/mailbox/submit")
    async def leave(said: Envelope) -> dict[str, str]:
        if said.target not in of.boxes:
            raise HTTPException(404, "no such mailbox")
        id = str(secrets.token_hex(16))
        id = f"{id[:8]}-{id[8:12]}-4{id[13:16]}-8{id[17:20]}-{id[20:]}"
        of.boxes[said.target][id] = {"uuid": id, "envelope": said.model_dump(mode="json")}
        return {}

    @made.get("/v2/agents/{address}/mailbox")
    async def waiting(address: str, authorization: str = Header("")) -> list[dict[str, Any]]:
        of.owner(authorization, address)
        return list(of.boxes.get(address, {}).values())

    @made.delete("/v2/agents/{address}/mailbox/{id}")
    async def took(address: str, id: str, authorization: str = Header("")) -> dict[str, str]:
        of.owner(authorization, address)
        of.boxes.get(address, {}).pop(id, None)
        return {}


@asynccontextmanager
async def served(of: Almanac) -> AsyncIterator[str]:
    """On a free port of loopback, in this event loop; its URL."""
    import asyncio

    server = uvicorn.Server(uvicorn.Config(app(of), port=0, log_level="error", lifespan="off"))
    task = asyncio.create_task(server._serve(), name="almanac")
    while not server.started and not task.done():
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


if __name__ == "__main__":
    uvicorn.run(app(Almanac()), port=int(sys.argv[1]), log_level="error")
