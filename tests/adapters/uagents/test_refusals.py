"""What an envelope must show. Each that does not is refused in the protocol's own words, and nothing is called."""

import asyncio
import base64
import json
from typing import Any

import pytest
from uagents_core.envelope import Envelope
from uagents_core.identity import Identity, generate_user_address

from adapters.uagents import calling, envelopes
from adapters.uagents.signing import Signer
from gateway import border
from gateway.testing import Box
from tests.adapters.uagents.house import House, house, resigned, soon


@pytest.fixture
async def home(box: Box) -> House:
    return await house(box)


def forged(h: House) -> Envelope:
    return h.echo().model_copy(update={"signature": Signer.fresh().sign_digest(envelopes.digest(h.echo()))})


def by_another(h: House) -> Envelope:
    return resigned(h.echo(), Signer.fresh())


def altered(h: House) -> Envelope:
    payload = base64.b64encode(json.dumps({"tool": "echo", "args": {"text": "other"}}).encode()).decode()
    return h.echo().model_copy(update={"payload": payload})


def no_nonce(h: House) -> Envelope:
    return h.echo().model_copy(update={"nonce": None})


def unsigned(h: House) -> Envelope:
    return h.echo().model_copy(update={"signature": None})


def user(h: House) -> Envelope:
    return h.echo().model_copy(update={"sender": generate_user_address(), "signature": None})


def another_target(h: House) -> Envelope:
    return h.echo(target=Signer.fresh().address)


def moved_target(h: House) -> Envelope:
    return h.echo(target=Signer.fresh().address).model_copy(update={"target": h.address})


def expired(h: House) -> Envelope:
    return resigned(h.echo(), h.sender, expires=soon(-5))


def endless(h: House) -> Envelope:
    return resigned(h.echo(), h.sender, expires=None)


def too_long(h: House) -> Envelope:
    return resigned(h.echo(), h.sender, expires=soon(7200))


def negative(h: House) -> Envelope:
    return h.echo().model_copy(update={"expires": -1})


def huge(h: House) -> Envelope:
    return h.echo().model_copy(update={"nonce": 2**70})


def moved_border(h: House) -> Envelope:
    """Same signed bytes, other fields: a letter of the payload is passed off as one of the digest."""
    e = h.echo()
    assert e.payload
    moved = e.model_copy(update={"schema_digest": e.schema_digest + e.payload[0], "payload": e.payload[1:]})
    assert envelopes.digest(moved) == envelopes.digest(e)
    return moved


def swallowed_expiry(h: House) -> Envelope:
    """Same signed bytes, no expiry any more: it became a part of the payload, the nonce the expiry."""
    e = resigned(h.echo(), h.sender, expires=0x6161616161616161, nonce=soon(60))
    assert e.payload
    moved = e.model_copy(update={"payload": e.payload + "aaaaaaaa", "expires": e.nonce, "nonce": None})
    assert envelopes.digest(moved) == envelopes.digest(e)
    return moved


GARBAGE = {
    "nothing": b"",
    "not JSON": b"{",
    "a list": b"[]",
    "a number": b"7",
    "null": b"null",
    "not UTF-8": b"\xff\xfe",
    "deep": b'{"a":' * 5000 + b"1" + b"}" * 5000,
}


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (forged, "signature verification failed"),
        (by_another, "signature verification failed"),
        (altered, "signature verification failed"),
        (no_nonce, "signature verification failed"),
        (moved_target, "signature verification failed"),
        (unsigned, "Envelope signature is missing"),
        (user, "unsigned envelopes are not taken here"),
        (another_target, "unable to route envelope"),
        (expired, "envelope expired"),
        (endless, "envelope has no expiry"),
        (too_long, "envelope expires in more than 3600 seconds"),
        (negative, "contents do not match envelope schema"),
        (huge, "contents do not match envelope schema"),
        (moved_border, "contents do not match envelope schema"),
    ],
    ids=lambda v: getattr(v, "__name__", ""),
)
async def test_each_is_refused(home: House, how: Any, said: str) -> None:
    assert await home.said(how(home)) == said
    assert home.far.seen["deliver"] == 0
    assert await home.said(home.echo()) == "hello", "and a good one is answered"


async def test_an_expiry_is_not_swallowed(home: House) -> None:
    assert await home.said(swallowed_expiry(home)) != "hello"
    assert home.far.seen["deliver"] == 0


@pytest.mark.parametrize("body", GARBAGE.values(), ids=GARBAGE.keys())
async def test_garbage(home: House, body: bytes) -> None:
    response = await home.post(body)
    assert response.status_code == 400
    assert response.json()["error"] in ("empty or invalid payload", "contents do not match envelope schema")


async def test_another_content_type(home: House) -> None:
    response = await home.post(home.echo(), **{"content-type": "text/plain"})
    assert (response.status_code, response.json()) == (400, {"error": "invalid content-type"})


async def test_too_large_is_refused_before_it_is_read(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its announced length: not a byte of the body is sent."""
    monkeypatch.setattr(border, "DRAIN", 0.1)
    url = home.http.base_url
    reader, writer = await asyncio.open_connection(url.host, url.port)
    head = f"POST /uagents/submit HTTP/1.1\r\nhost: {url.host}:{url.port}\r\ncontent-type: application/json\r\n"
    writer.write(f"{head}content-length: 99999999\r\n\r\n".encode())
    answer = await reader.readuntil(b"}")
    assert b"413" in answer.split(b"\r\n")[0]
    assert b'{"error":"a request may have' in answer
    writer.close()
    response = await home.post(b" " * (5 * 2**20))
    assert response.status_code == 413


async def test_unknown_digests_get_the_protocols_error_message(home: House) -> None:
    digest = "model:" + "a" * 64
    unknown = envelopes.make(home.sender, home.address, envelopes.session(), (digest, {}))
    answer = Envelope.model_validate((await home.post(unknown)).json())
    assert answer.schema_digest == calling.ERROR
    assert envelopes.document(answer) == {"error": f"unsupported message {digest}"}
    assert (answer.sender, answer.target, answer.session) == (home.address, home.sender.address, unknown.session)


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b"\xff", b'{"tool": 5}', b'{"tool":"echo"}'])
async def test_payloads_that_are_not_of_their_model(home: House, payload: bytes) -> None:
    made = home.echo()
    bad = resigned(made, home.sender, payload=base64.b64encode(payload).decode())
    assert (await home.said(bad)).startswith("Message does not conform to expected schema")


async def test_replayed_also_after_a_restart(home: House) -> None:
    once = home.echo()
    assert await home.said(once) == "hello"
    assert await home.said(once) == "replayed envelope"
    other = once.model_copy(update={"version": 2, "protocol_digest": "proto:" + "0" * 64})
    assert await home.said(other) == "replayed envelope", "what is not signed makes no other envelope"
    await home.box.restart()
    again = await house(home.box)
    assert again.address == home.address, "the identity stays"
    assert await again.said(once) == "replayed envelope"
    assert await again.said(again.echo()) == "hello"
    assert again.far.seen["deliver"] == 2, "once before, once after"


async def test_of_many_copies_at_once_one_is_let_in(home: House) -> None:
    once = home.echo()
    found = await asyncio.gather(*(home.said(once) for _ in range(50)))
    assert sorted(found) == ["hello"] + ["replayed envelope"] * 49
    assert home.far.seen["deliver"] == 1


async def test_a_signature_of_either_half_is_one_envelope(home: House) -> None:
    """The library makes signatures whose s is high; the other half of each is as good, and no second envelope."""
    from coincurve.ecdsa import deserialize_compact, serialize_compact, signature_normalize

    from adapters.uagents import bech32

    identity = Identity.generate()
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    seen: set[bool] = set()
    for _ in range(40):
        e = home.echo()
        e.sender = identity.address
        e.sign(identity)
        assert e.signature
        raw = bech32.decode("sig", e.signature)
        high, low = signature_normalize(deserialize_compact(raw))
        seen.add(bool(high))
        assert serialize_compact(low)
        other = raw[:32] + (order - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")
        assert await home.said(e) == "hello"
        e.signature = bech32.encode("sig", other)
        assert await home.said(e) == "replayed envelope"
        if len(seen) == 2:
            break
    assert seen == {True, False}


async def test_a_thousand_from_one_sender_each_get_their_own_answer(home: House) -> None:
    """64 at once."""
    gate = asyncio.Semaphore(64)

    async def one(number: int) -> bool:
        async with gate:
            return await home.said(home.echo(f"number {number}")) == f"number {number}"

    assert sum(await asyncio.gather(*(one(n) for n in range(1000)))) == 1000


async def test_unsigned_users_only_where_the_operator_says_so(box: Box) -> None:
    home = await house(box, unsigned=True)
    body = user(home)
    response = await home.post(body)
    answer = Envelope.model_validate(response.json())
    assert envelopes.document(answer)["result"] == "hello"
    assert answer.target == body.sender


async def test_once_there_are_keys_identities_need_the_operators_word(box: Box) -> None:
    home = await house(box, unsigned=True)
    key = await box.key("root", roles=("call", "admin"))
    assert "is not let in" in await home.said(home.echo())
    assert "is not let in" in await home.said(user(home))
    good = await home.post(home.echo(), authorization=f"Bearer {key}")
    assert good.status_code == 200
    assert (await home.post(home.echo(), authorization="Bearer dk_no")).status_code == 400
    admitted = box.gateway.settings.networks["uagents"].model_copy(
        update={"admit": (home.sender.address,), "allow": ("all__echo",)}
    )
    box.gateway.keys.networks = {"uagents": admitted}
    assert await home.said(home.echo()) == "hello"
    assert "is not let in" in await home.said(home.echo(signer=Signer.fresh()))
    other = envelopes.make(
        home.sender, home.address, envelopes.session(), (calling.CALL_TOOL, {"tool": "add", "args": {"a": 1, "b": 2}})
    )
    assert (await home.said(other)).startswith("denied: ")


def test_what_is_signed_is_what_the_library_signs() -> None:
    signer, identity = Signer.fresh(), Identity.generate()
    for number in range(50):
        made = envelopes.make(signer, identity.address, envelopes.session(), (calling.LIST_TOOLS, {"n": number}))
        assert made.verify()
        assert made._digest() == envelopes.digest(made)
