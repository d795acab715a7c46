"""A client of the network for the conformance suite: a small agent of its own, with an endpoint on loopback.

It speaks the chat protocol asynchronously, as stock agents do: acknowledgements, progress and answers are posted to it.
"""

import asyncio
import uuid
from typing import Any

import httpx2
import orjson
from uagents_core.envelope import Envelope

from adapters.conformance import NearSide, Outcome
from adapters.uagents import calling, chat, envelopes
from adapters.uagents.signing import Signer, verify

CONTEXT = httpx2.create_ssl_context()
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


class Mouth:
    """Where envelopes to one address arrive."""

    def __init__(self, port: int = 0) -> None:
        self.signer = Signer.fresh()
        self.heard: dict[uuid.UUID, asyncio.Queue[Envelope]] = {}
        self._port = port
        self._peers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> "Mouth":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/submit"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._peers:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._peers.add(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.lower().split(b"\r\n")
                length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
                self._take(Envelope.model_validate_json(await reader.readexactly(length)))
                writer.write(ANSWER)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
        finally:
            self._peers.discard(writer)

    def _take(self, envelope: Envelope) -> None:
        assert envelope.target == self.signer.address
        assert envelope.signature, "answers are signed"
        assert verify(envelope.sender, envelopes.digest(envelope), envelope.signature)
        assert envelope.expires
        self.heard[envelope.session].put_nowait(envelope)


class UagentsNearSide(NearSide):
    """Calls tools by words to the agent that has them. `mouth` is set by the test, which lets the gateway know it."""

    mouth: Mouth

    def _client(self) -> httpx2.AsyncClient:
        headers = {"authorization": f"Bearer {self.key}"} if self.key else {}
        return httpx2.AsyncClient(base_url=self.url, headers=headers, timeout=30, verify=CONTEXT, trust_env=False)

    async def _address(self, client: httpx2.AsyncClient, slug: str) -> str:
        response = await client.get("/uagents/agents")
        if response.status_code == 401:
            raise PermissionError(response.text)
        return next(str(a["address"]) for a in response.json() if a["agent"] == slug)

    async def tools(self) -> list[str]:
        async with self._client() as client:
            asked = envelopes.make(
                Signer.fresh(), await self._address(client, "all"), uuid.uuid4(), (calling.LIST_TOOLS, {})
            )
            headers = {"content-type": "application/json", "x-uagents-connection": "sync"}
            response = await client.post("/uagents/submit", content=asked.model_dump_json(), headers=headers)
        said = envelopes.document(Envelope.model_validate_json(response.content))
        return [tool["name"] for tool in said["tools"]]

    async def call(self, tool: str, arguments: dict[str, Any], hops: str = "") -> Outcome:
        slug, _, name = tool.partition("__")
        session = uuid.uuid4()
        heard = self.mouth.heard[session] = asyncio.Queue[Envelope]()
        async with self._client() as client:
            text = f"{name} {orjson.dumps(arguments).decode()}"
            made = envelopes.make(
                self.mouth.signer, await self._address(client, slug), session, chat.ask(text, hops=hops)
            )
            headers = {"content-type": "application/json"}
            response = await client.post("/uagents/submit", content=made.model_dump_json(), headers=headers)
            if response.status_code != 200:
                raise PermissionError(response.text)
            return await self._heard(heard)

    async def _heard(self, heard: "asyncio.Queue[Envelope]") -> Outcome:
        previews, text, acknowledged = 0, "", False
        while True:
            envelope = await heard.get()
            if envelope.schema_digest == chat.ACKNOWLEDGEMENT:
                acknowledged = True
                continue
            assert acknowledged, "the acknowledgement comes first"
            said = chat.read(envelopes.payload(envelope))
            if said.progress is not None:
                previews += 1
                continue
            text += said.text
            if "error" in said.meta:
                return Outcome(text, said.meta["error"])
            if not said.started or said.ended:
                structured = orjson.loads(said.meta["structured"]) if "structured" in said.meta else None
                return Outcome(text, previews=previews, structured=structured)
