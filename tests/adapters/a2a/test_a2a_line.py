"""Agents that speak gRPC: where they are reached, by which connection, with what along, and what their faults say."""

import asyncio
import datetime
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from a2a.server.routes import create_agent_card_routes
from a2a.types import AgentCard, AgentInterface
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from starlette.applications import Starlette

from adapters.a2a import line
from adapters.a2a.far_testing import A2aFarSide, Scripted, card
from adapters.a2a.line_testing import GrpcFarSide, SlowGrpcFarSide, Wire, listening
from adapters.conformance.serving import serving
from adapters.spi import Accepted, Call, Error, Event, Result, Tool, Upstream
from gateway.testing import Box


async def ask(box: Box, text: str = "hello", **more: Any) -> Event:
    """The last event."""
    call = Call(f"c{time.monotonic_ns()}", "far__ask", {"message": text}, box.caller, **more)
    return [event async for event in box.invoke(call)][-1]


def text_of(event: Event) -> str:
    assert isinstance(event, Result), event
    return event.text


def error_of(event: Event) -> Any:
    assert isinstance(event, Error), event
    return event.error


@asynccontextmanager
async def showing(made: AgentCard, **options: Any) -> AsyncIterator[Upstream]:
    """The upstream of an agent that has this card."""
    async with serving(Starlette(routes=create_agent_card_routes(made))) as (url, _):
        yield Upstream("far", "a2a", url, "the-key", options={"poll": 0.02, **options})


@asynccontextmanager
async def far_side(box: Box, made: GrpcFarSide | None = None) -> AsyncIterator[GrpcFarSide]:
    far = made or GrpcFarSide()
    await far.open()
    try:
        await box.add(far.upstream)
        yield far
    finally:
        await far.close()


# ---- connections ----------------------------------------------------------------------------------------------------


async def test_one_connection_serves_all_calls(box: Box) -> None:
    async with far_side(box) as far:
        for number in range(20):
            assert text_of(await ask(box, f"say {number}")) == f"say {number}"
        await asyncio.gather(*(ask(box, f"at once {number}") for number in range(10)))
        assert await box.refresh("far")
        assert text_of(await ask(box)) == "hello"
        assert far.wire.made == 1


async def test_one_that_does_not_stream_is_looked_at(box: Box) -> None:
    """At an address without a scheme, which the operator calls plain."""
    async with far_side(box, SlowGrpcFarSide()) as far:
        assert text_of(await ask(box)) == "hello"
        assert error_of(await ask(box, "!fail")).code == "refused"
        assert far.wire.made == 1


async def test_what_is_away_is_not_there_and_back_again_when_it_is(box: Box) -> None:
    far = Scripted()
    made = card("grpc:", "GRPC", "1.0")
    async with listening(made, far) as port:
        wire = Wire(port)
        async with wire.carrying():
            place = f"127.0.0.1:{wire.port}"
            made.supported_interfaces[0].url = place
            async with showing(made, reach=[f"http://{place}"]) as upstream:
                await box.add(upstream)
                assert text_of(await ask(box)) == "hello"
        async with asyncio.timeout(30):
            while (error := error_of(await ask(box, "into the void"))).delivered != "no":
                assert (error.code, error.delivered) == ("connect_failed", "unknown"), "the first may hear it break"
        assert error.code == "connect_failed"
        async with wire.carrying():
            async with asyncio.timeout(30):
                while isinstance(await ask(box, "again"), Error):
                    await asyncio.sleep(0.05)
    assert len(far.delivered) == 2


async def test_a_channel_that_is_closed_is_replaced_and_the_task_gone_on_with(box: Box) -> None:
    async with far_side(box) as far:
        outbound: Any = box.outbound("far")
        inner, accepted = outbound.invoke, asyncio.Event()

        async def watched(call: Call, tool: Tool) -> AsyncIterator[Event]:
            async with aclosing(inner(call, tool)) as events:
                async for event in events:
                    if isinstance(event, Accepted):
                        accepted.set()
                    yield event

        outbound.invoke = watched
        asking = asyncio.ensure_future(ask(box, "!hang"))
        async with asyncio.timeout(30):
            await accepted.wait()
            await outbound._far._line.close()
            while far.wire.made < 2:
                await asyncio.sleep(0.01)
        assert len(far.far.delivered) == 1
        assert not asking.done()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


# ---- what goes along ------------------------------------------------------------------------------------------------


class Watch(grpc.aio.ServerInterceptor):
    """Notes what comes with each request."""

    def __init__(self) -> None:
        self.seen: list[dict[str, str]] = []

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        self.seen.append({str(k): str(v) for k, v in handler_call_details.invocation_metadata})
        return await continuation(handler_call_details)


async def test_each_request_has_the_key_the_version_and_the_deadline(box: Box) -> None:
    watch = Watch()
    left: list[float] = []

    made = card("grpc:", "GRPC", "1.0")

    class Clock(grpc.aio.ServerInterceptor):
        async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
            handler = await continuation(handler_call_details)
            inner = handler.unary_stream

            async def timed(request: Any, context: Any) -> AsyncIterator[Any]:
                left.append(context.time_remaining())
                async for item in inner(request, context):
                    yield item

            return grpc.unary_stream_rpc_method_handler(
                timed, handler.request_deserializer, handler.response_serializer
            )

    async with listening(made, Scripted(), None, watch, Clock()) as port:
        made.supported_interfaces[0].url = f"http://127.0.0.1:{port}"
        async with showing(made, reach=[f"http://127.0.0.1:{port}"], headers={"X-Own": "7"}) as upstream:
            await box.add(upstream)
            assert text_of(await ask(box, deadline=time.time() + 600)) == "hello"
    (sent,) = watch.seen
    assert (sent["authorization"], sent["x-own"], sent["a2a-version"]) == ("Bearer the-key", "7", "1.0")
    assert 500 < left[0] < 610


# ---- the guard ------------------------------------------------------------------------------------------------------


async def test_an_address_inside_is_not_connected_to(box: Box) -> None:
    """Whatever the card calls it."""
    far = Scripted()
    made = card("grpc:", "GRPC", "1.0")
    async with listening(made, far) as port, Wire(port).carrying() as wire:
        for at in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "0.0.0.0"):
            made.supported_interfaces[0].url = f"http://{at}:{wire.port}"
            async with showing(made) as upstream:
                await box.add(upstream)
                error = error_of(await ask(box))
                assert error.code in ("denied", "connect_failed"), at
                await box.remove("far")
        assert wire.made == 0
    assert not far.delivered


async def test_where_grpc_is_inside_another_face_is_taken(box: Box) -> None:
    side = A2aFarSide()
    await side.open()
    try:
        made = card(side.upstream.url, "JSONRPC", "1.0")
        made.supported_interfaces.insert(
            0, AgentInterface(url="grpc://127.0.0.1:1", protocol_binding="GRPC", protocol_version="1.0")
        )
        async with showing(made, reach=[side.upstream.url]) as upstream:
            await box.add(upstream)
            assert text_of(await ask(box)) == "hello"
    finally:
        await side.close()


async def test_the_library_gets_addresses_and_looks_no_name_up(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that only the gateway's own look-up knows: what answered there is what is connected to."""
    loop = asyncio.get_running_loop()
    look = loop.getaddrinfo

    async def getaddrinfo(host: Any, port: Any, **more: Any) -> Any:
        return await look("127.0.0.1" if host == "agent.invalid" else host, port, **more)

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo, raising=False)
    made, far = card("grpc:", "GRPC", "1.0"), Scripted()
    async with listening(made, far) as port:
        made.supported_interfaces[0].url = f"http://agent.invalid:{port}"
        async with showing(made, reach=[f"http://agent.invalid:{port}"]) as upstream:
            await box.add(upstream)
            assert text_of(await ask(box)) == "hello"
            await box.remove("far")
        async with showing(made) as upstream:
            await box.add(upstream)
            assert error_of(await ask(box)).code == "denied", "a name that leads inside"


# ---- TLS ------------------------------------------------------------------------------------------------------------


def certificate(name: str) -> tuple[bytes, bytes]:
    """A key, and a certificate of its own for this name."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    names: list[x509.GeneralName] = [x509.DNSName(name)]
    made = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1)).add_extension(x509.SubjectAlternativeName(names), False)
        .add_extension(x509.BasicConstraints(True, None), True).sign(key, hashes.SHA256())
    )  # fmt: skip
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private, made.public_bytes(Encoding.PEM)


@pytest.mark.parametrize(
    ("named", "url", "trusted", "well"),
    [
        ("localhost", "https://localhost:{}", True, True),
        ("localhost", "grpcs://localhost:{}", True, True),
        ("localhost", "localhost:{}", True, True),
        ("localhost", "https://localhost:{}", False, False),
        ("elsewhere.example", "https://localhost:{}", True, False),
        ("localhost", "http://localhost:{}", True, False),
    ],
)
async def test_tls_goes_by_the_address_and_the_name_is_checked(
    box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str, url: str, trusted: bool, well: bool
) -> None:
    key, public = certificate(named)
    store = tmp_path / "trusted.pem"
    store.write_bytes(public if trusted else certificate("other.example")[1])
    monkeypatch.setenv("SSL_CERT_FILE", str(store))
    line._roots.cache_clear()
    made, far = card("grpc:", "GRPC", "1.0"), Scripted()
    try:
        async with listening(made, far, grpc.ssl_server_credentials([(key, public)])) as port:
            made.supported_interfaces[0].url = url.format(port)
            plain = url.startswith("http://")
            reach = [f"{'http' if plain else 'https'}://localhost:{port}"]
            async with showing(made, reach=reach) as upstream:
                await box.add(upstream)
                last = await ask(box)
                assert isinstance(last, Result) == well, last
                assert bool(far.delivered) == well
    finally:
        line._roots.cache_clear()


# ---- faults ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url", ["ftp://x:1", "http://", "http://u:p@x:1", "http://x:99999", "", "://", "http://[::1:5"]
)
async def test_what_is_no_address_is_said_plainly(box: Box, url: str) -> None:
    made = card("grpc:", "GRPC", "1.0")
    made.supported_interfaces[0].url = url or " "
    async with showing(made) as upstream:
        report = await box.report(upstream)
        assert not report.ok
        assert "an address of gRPC that is none" in report.text or "cannot resolve" in report.text


@pytest.mark.parametrize(
    ("code", "details", "expected", "delivered"),
    [
        ("UNAVAILABLE", "failed to connect to all addresses; last error: x", "connect_failed", "no"),
        ("UNAVAILABLE", "Socket closed", "connect_failed", "unknown"),
        ("CANCELLED", "", "connect_failed", "unknown"),
        ("RESOURCE_EXHAUSTED", "CLIENT: Received message larger than max (1 vs. 0)", "broken", "yes"),
        ("RESOURCE_EXHAUSTED", "quota", "full", "unknown"),
        ("UNIMPLEMENTED", "Method not found!", "broken", "yes"),
        ("UNAUTHENTICATED", "who are you", "refused", "yes"),
        ("PERMISSION_DENIED", "not you", "refused", "yes"),
        ("INTERNAL", "oops", "refused", "yes"),
    ],
)
def test_faults_are_decisions(code: str, details: str, expected: str, delivered: str) -> None:
    status = grpc.StatusCode[code]
    made = grpc.aio.AioRpcError(status, grpc.aio.Metadata(), grpc.aio.Metadata(), details)
    found = line.fault_of("far", made)
    assert found is not None
    assert (found.code, found.delivered) == (expected, delivered)
    lying = grpc.aio.AioRpcError(status, grpc.aio.Metadata(), grpc.aio.Metadata(("x", "y")), details)
    told = line.fault_of("far", lying)
    assert told is not None
    assert told.delivered != "no", "who answered was there"
    assert line.fault_of("far", ValueError()) is None
