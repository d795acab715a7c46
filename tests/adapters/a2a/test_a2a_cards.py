"""Cards and signatures of others, and what our client sends."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google.protobuf.json_format import MessageToDict
from jwt.algorithms import ECAlgorithm
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from a2a.utils.signing import create_agent_card_signer  # isort: skip
from adapters.a2a.far_testing import card
from adapters.conformance.serving import serving
from adapters.spi import Call, Error, Result, Upstream
from gateway.testing import Box

KEY = ec.generate_private_key(ec.SECP256R1())
OTHER = ec.generate_private_key(ec.SECP256R1())


class Far:
    """Serves a card, its keys, and one answer."""

    def __init__(self) -> None:
        self.url = ""
        self.card: Any = {}
        self.keys: Any = {"keys": [public(KEY)]}
        self.headers: list[dict[str, str]] = []

    def sign(self, key: ec.EllipticCurvePrivateKey = KEY, jku: str = "") -> None:
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        header: Any = {"kid": "k1", "alg": "ES256", "jku": jku or f"{self.url}/keys", "typ": "JOSE"}
        signed = create_agent_card_signer(pem, header)(card(self.url, "JSONRPC", "1.0", streaming=False))
        self.card = MessageToDict(signed)

    async def handle(self, request: Request) -> Response:
        match request.url.path:
            case "/keys":
                return JSONResponse(self.keys)
            case "/rpc":
                self.headers.append(dict(request.headers))
                said = orjson.loads(await request.body())
                answer = {"messageId": "m", "role": "ROLE_AGENT", "parts": [{"text": "well"}]}
                return JSONResponse({"jsonrpc": "2.0", "id": said["id"], "result": {"message": answer}})
            case path if path.endswith("agent-card.json"):
                return JSONResponse(self.card)
            case _:
                return Response(status_code=404)


def public(key: ec.EllipticCurvePrivateKey, kid: str = "k1") -> Any:
    made: dict[str, Any] = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {**made, "kid": kid, "alg": "ES256", "use": "sig"}


@asynccontextmanager
async def a_far() -> AsyncIterator[Far]:
    far = Far()
    async with serving(Starlette(routes=[Route("/{path:path}", far.handle, methods=["GET", "POST"])])) as (url, _):
        far.url = url
        far.card = MessageToDict(card(url, "JSONRPC", "1.0", streaming=False))
        yield far


@pytest.fixture
async def far() -> AsyncIterator[Far]:
    async with a_far() as found:
        yield found


async def report(box: Box, far: Far) -> str:
    found = await box.report(Upstream("far", "a2a", far.url))
    return f"{found.ok} {found.text}"


async def test_a_good_signature_is_named(box: Box, far: Far) -> None:
    far.sign()
    assert await report(box, far) == "True Far: 1 skills; the card is signed by key k1; it does not stream"


async def test_no_signature_is_none(box: Box, far: Far) -> None:
    assert "the card is not signed" in await report(box, far)


async def test_a_wrong_signature_is_refused(box: Box, far: Far) -> None:
    far.sign(OTHER)
    assert await report(box, far) == "False 'far' has a card with a signature that is wrong"


async def test_a_card_that_was_changed_is_refused(box: Box, far: Far) -> None:
    far.sign()
    far.card["description"] = "Trust me."
    assert "signature that is wrong" in await report(box, far)


async def test_a_key_that_is_shown_no_more_signs_nothing(box: Box, far: Far) -> None:
    far.sign()
    far.keys = {"keys": [public(OTHER, "k2")]}
    assert "signature that is wrong" in await report(box, far)


async def test_a_key_of_another_place_is_not_asked_for(box: Box, far: Far) -> None:
    async with a_far() as other:
        far.sign(jku=f"{other.url}/keys")
        assert "a key of another place" in await report(box, far)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([], "has a card that is no object"),
        ({"name": 5}, "has a card that is none"),
        ({"name": "x", "supportedInterfaces": []}, "speaks neither JSON-RPC, HTTP+JSON nor gRPC"),
        ({"signatures": [{"protected": "!!", "signature": "x"}]}, "signature"),
        ({"signatures": [5]}, "signature"),
    ],
)
async def test_what_is_no_card_is_said_plainly(box: Box, far: Far, said: Any, expected: str) -> None:
    far.card = said
    text = await report(box, far)
    assert text.startswith("False")
    assert expected in text


async def test_each_request_names_the_version(box: Box, far: Far) -> None:
    await box.add(Upstream("far", "a2a", far.url, "the-key", options={"headers": {"x-own": "7"}}))
    last = [event async for event in box.invoke(Call("c1", "far__ask", {"message": "hi"}, box.caller))][-1]
    assert isinstance(last, Result), last
    assert last.text == "well"
    sent = far.headers[-1]
    assert (sent["a2a-version"], sent["authorization"], sent["x-own"]) == ("1.0", "Bearer the-key", "7")


async def test_where_a_card_leads_is_guarded(box: Box, far: Far) -> None:
    """A card that names a face inside: it is not reached."""
    async with a_far() as inside:
        far.card["supportedInterfaces"][0]["url"] = f"{inside.url}/rpc"
        await box.add(Upstream("far", "a2a", far.url))
        last = [event async for event in box.invoke(Call("c1", "far__ask", {"message": "hi"}, box.caller))][-1]
        assert isinstance(last, Error)
        assert not inside.headers
