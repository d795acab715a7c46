"""One agent of others: its card, and the SDK's client for it."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
import orjson
from a2a.client import Client, ClientCallContext, ClientConfig, ClientFactory
from a2a.client.card_resolver import parse_agent_card
from a2a.client.errors import A2AClientError, A2AClientTimeoutError
from a2a.types import AgentCard
from a2a.utils.errors import A2AError
from a2a.utils.signing import create_signature_verifier
from google.protobuf.json_format import ParseError
from grpc.aio import UsageError
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from adapters import wire
from adapters.a2a import Options, bridge
from adapters.a2a.line import Line, fault_of
from adapters.errors import BadArguments, Broken, ConnectFailed, Denied, GatewayError, Refused, TimedOut
from adapters.spi import Host, Upstream

PLACES = ("/.well-known/agent-card.json", "/.well-known/agent.json")
OVER_HTTP = ["JSONRPC", "HTTP+JSON"]
GRPC = "GRPC"
FAULTS = (
    A2AClientError, A2AError, UsageError, httpx.TransportError, ParseError, ValueError, KeyError, TypeError,
    AttributeError,
)  # fmt: skip
SLACK = 5.0
"""Seconds that a far side is given beyond the deadline, which is watched here: the task is cancelled there first."""
ALGORITHMS = ["ES256", "ES384", "RS256", "PS256", "EdDSA"]


class Far:
    """Reads the card, checks its signature, and makes the client anew when the card has changed."""

    def __init__(self, upstream: Upstream, host: Host, options: Options) -> None:
        if not upstream.url.startswith(("http://", "https://")):
            raise BadArguments(
                f"'{upstream.name}': the url of an agent, or of its card, is like https://agent.example.com"
            )
        self._name = upstream.name
        self._url = upstream.url
        self._host = host
        self._headers = {name.lower(): value for name, value in options.headers.items()}
        if upstream.secret:
            self._headers["authorization"] = f"Bearer {upstream.secret}"
        self.signed = ""
        """By which key the card is signed; blank where it is not."""
        self._raw = b""
        self._card: AgentCard | None = None
        self._client: Client | None = None
        self._http: httpx.AsyncClient | None = None
        self._line = Line(upstream.name, host, options.reach)
        self._reach = options.reach
        self._metadata: dict[str, str] | None = None
        self._lost = False

    async def card(self) -> AgentCard:
        """Read anew. Raises `Broken` for what is no card, or one whose signature is wrong."""
        raw = await self._fetched()
        if self._card is None or raw != self._raw:
            said = self._parsed(raw)
            await self._check(said)
            try:
                card = parse_agent_card(said)
            except (ParseError, KeyError, TypeError, ValueError, AttributeError) as fault:
                raise Broken(f"'{self._name}' has a card that is none: {fault}"[:300]) from fault
            await self._hang_up()
            self._card, self._raw = card, raw
        return self._card

    def _parsed(self, raw: bytes) -> dict[str, Any]:
        try:
            said = orjson.loads(raw)
        except orjson.JSONDecodeError as fault:
            raise Broken(f"'{self._name}' has a card that is not JSON") from fault
        if not isinstance(said, dict):
            raise Broken(f"'{self._name}' has a card that is no object")
        return said

    async def _fetched(self) -> bytes:
        named = self._url.endswith(".json")
        status = 0
        for place in ("",) if named else PLACES:
            status, body = await self._get(self._url.rstrip("/") + place)
            if status == 200:
                return body
        raise Refused(f"'{self._name}' shows no card at {self._url} ({status})")

    async def _get(self, url: str) -> tuple[int, bytes]:
        request = self._host.http.build_request("GET", url, headers={**self._headers, "accept": "application/json"})
        response, body = await wire.send(self._host.http, request, self._name)
        return response.status_code, body

    # -- signatures -----------------------------------------------------------------------------------------------

    async def _check(self, said: dict[str, Any]) -> None:
        """One good signature is enough, by a key that the agent's own origin shows. No signature is none."""
        self.signed = ""
        signatures = said.get("signatures")
        if not isinstance(signatures, list) or not signatures:
            return
        keys: dict[str, PyJWK] = {}
        for one in signatures:
            keys |= await self._keys(one if isinstance(one, dict) else {})

        def provide(kid: str | None, _jku: str | None) -> PyJWK:
            self.signed = str(kid)
            return keys[str(kid)]

        try:
            create_signature_verifier(provide, ALGORITHMS)(parse_agent_card(said))
        except Exception as fault:
            raise Broken(f"'{self._name}' has a card with a signature that is wrong", detail=repr(fault)) from fault

    async def _keys(self, signature: dict[str, Any]) -> dict[str, PyJWK]:
        try:
            header = orjson.loads(base64.urlsafe_b64decode(str(signature.get("protected", "")) + "=="))
            jku, kid = str(header.get("jku") or ""), str(header.get("kid") or "")
        except (ValueError, AttributeError):
            return {}
        target = urljoin(self._url, jku)
        if not jku or urlsplit(target)[:2] != urlsplit(self._url)[:2]:
            raise Broken(f"'{self._name}' signs its card with a key of another place ({jku[:60]}): not trusted")
        status, body = await self._get(target)
        if status != 200:
            raise Broken(f"'{self._name}' signs its card, and does not show the key ({status})")
        try:
            found = [PyJWK(one) for one in orjson.loads(body)["keys"] if str(one.get("kid")) == kid]
            return {kid: found[0]} if found else {}
        except (ValueError, KeyError, TypeError, PyJWTError) as fault:
            raise Broken(f"'{self._name}' shows keys that are none") from fault

    # -- the client -----------------------------------------------------------------------------------------------

    async def client(self) -> Client:
        """By the face that the card prefers, of those that are spoken here; 1.0 before 0.3."""
        if self._client is None or self._lost:
            card = self._card or await self.card()
            await self._hang_up()
            try:
                self._client = await self._made(card)
            except (A2AClientError, ValueError) as fault:
                raise Broken(f"'{self._name}' speaks neither JSON-RPC, HTTP+JSON nor gRPC: {fault}") from fault
            self._lost = False
        return self._client

    async def _made(self, card: AgentCard) -> Client:
        known = [*OVER_HTTP, GRPC]
        faces = [one for one in card.supported_interfaces if one.protocol_binding in known]
        channel: Any = None
        if faces and faces[0].protocol_binding == GRPC:
            try:
                best = ClientFactory._find_best_interface(faces, [GRPC])
                channel = await self._line.open(best.url if best else "")
            except Denied:
                known = OVER_HTTP  # it may have a face that is not inside
                if not any(one.protocol_binding in known for one in faces):
                    raise
        self._http = bridge.client(self._host.client(*self._reach), self._headers)
        config = ClientConfig(
            httpx_client=self._http, supported_protocol_bindings=known, streaming=card.capabilities.streaming,
            grpc_channel_factory=lambda _url: channel,
        )  # fmt: skip
        self._metadata = self._headers if channel is not None else None
        return ClientFactory(config).create(card)

    def context(self, remaining: float | None) -> ClientCallContext | None:
        """What goes along with one request over gRPC; over HTTP it is with the connection."""
        if self._metadata is None:
            return None
        timeout = None if remaining is None else remaining + SLACK
        return ClientCallContext(service_parameters=self._metadata, timeout=timeout)

    async def _hang_up(self) -> None:
        """Without an end to what runs: the connections stay the host's, and a channel stays while it is the same."""
        if self._http is not None:
            await self._http.aclose()
        self._client = self._http = None

    async def close(self) -> None:
        await self._hang_up()
        await self._line.close()

    @asynccontextmanager
    async def speaking(self) -> AsyncIterator[None]:
        """The SDK's faults as errors of the contract."""
        try:
            yield
        except GatewayError:
            raise
        except asyncio.CancelledError as fault:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise ConnectFailed(f"the connection to '{self._name}' was closed", detail=repr(fault)) from fault
        except FAULTS as fault:
            raise self._fault(fault) from fault

    def _fault(self, fault: BaseException) -> GatewayError:
        match fault:
            case A2AClientTimeoutError():
                return TimedOut(f"'{self._name}' did not answer in time", detail=repr(fault))
            case A2AClientError():
                return self._unreached(fault)
            case A2AError():
                return Refused(f"'{self._name}': {fault}"[:600])
            case httpx.ConnectError():
                return ConnectFailed(f"'{self._name}' does not answer", detail=repr(fault), delivered="no")
            case httpx.TransportError():
                return ConnectFailed(f"the connection to '{self._name}' broke", detail=repr(fault))
            case _:
                return self._of_line(fault) or Broken(f"'{self._name}' answered in no way of A2A", detail=repr(fault))

    def _of_line(self, fault: BaseException | None) -> GatewayError | None:
        known = fault_of(self._name, fault)
        if known is not None and known.delivered == "no":
            self._lost = True  # the next call looks the name up again
        return known

    def _unreached(self, fault: A2AClientError) -> GatewayError:
        cause = fault.__cause__
        if (known := self._of_line(cause)) is not None:
            return known
        if isinstance(cause, httpx.ConnectError | httpx.ConnectTimeout):
            return ConnectFailed(f"'{self._name}' does not answer", detail=repr(fault), delivered="no")
        if isinstance(cause, httpx.TransportError):
            return ConnectFailed(f"the connection to '{self._name}' broke", detail=repr(fault))
        if "JSON" in type(fault).__name__.upper():
            return Broken(f"'{self._name}' answered with something that is not JSON", detail=repr(fault))
        return Refused(f"'{self._name}': {fault}"[:600], detail=repr(fault))
