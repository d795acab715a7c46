"""A gateway with the fake network behind it, served, and envelopes to its agent."""

import time
import uuid
from dataclasses import dataclass
from typing import Any

import httpx2
from uagents_core.envelope import Envelope

from adapters.fake.world import WORLDS, World, world
from adapters.spi import Upstream
from adapters.uagents import calling, envelopes
from adapters.uagents.signing import Signer
from gateway.settings import NetworkSettings
from gateway.testing import Box

URL = "fake://uagents"
SYNC = {"content-type": "application/json", "x-uagents-connection": "sync"}


@dataclass(slots=True)
class House:
    """`address` is the agent's; `sender` ours."""

    box: Box
    far: World
    http: httpx2.AsyncClient
    address: str
    sender: Signer

    def echo(self, text: str = "hello", **more: Any) -> Envelope:
        """A good envelope that asks for an echo by the MCP protocol."""
        said = {"tool": "echo", "args": {"text": text}}
        signer = more.pop("signer", self.sender)
        return envelopes.make(signer, more.pop("target", self.address), uuid.uuid4(), (calling.CALL_TOOL, said), **more)

    async def post(self, body: "Envelope | bytes | str", **headers: str) -> httpx2.Response:
        content = body.model_dump_json() if isinstance(body, Envelope) else body
        return await self.http.post("/uagents/submit", content=content, headers={**SYNC, **headers})

    async def said(self, body: "Envelope | bytes | str") -> str:
        """The error of a refusal, or the answer's text."""
        response = await self.post(body)
        found = response.json()
        if response.status_code != 200:
            assert set(found) == {"error"}, found
            return str(found["error"])
        answer = Envelope.model_validate(found)
        assert answer.verify(), "answers are signed"
        document = envelopes.document(answer)
        return str(document.get("result") or document.get("error"))


async def house(box: Box, **face: Any) -> House:
    """After `box.restart()`, the same house again."""
    known = any(u.name == "behind" for u in box._upstreams)
    if not known:
        WORLDS.pop(URL, None)
    far = world(URL)
    box.gateway.settings.networks["uagents"] = NetworkSettings.model_validate(face)
    if not known:
        await box.add(Upstream("behind", "fake", URL))
    http = httpx2.AsyncClient(base_url=await box.serve(), timeout=30, trust_env=False)
    box._stack.push_async_callback(http.aclose)
    (agent,) = (await http.get("/uagents/agents")).json()
    return House(box, far, http, agent["address"], Signer.fresh())


def resigned(envelope: Envelope, signer: Signer, **changed: Any) -> Envelope:
    """Altered, and signed again by whoever."""
    made = envelope.model_copy(update=changed)
    made.signature = signer.sign_digest(envelopes.digest(made))
    return made


def soon(seconds: float) -> int:
    return int(time.time() + seconds)
