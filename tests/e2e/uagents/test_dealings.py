"""Far sides that answer wrongly, and payments: small agents made here, for stock ones do neither."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from uagents_core.contrib.protocols.payment import CompletePayment, Funds, RequestPayment
from uagents_core.envelope import Envelope
from uagents_core.models import Model

from adapters.spi import Answer, Ask, Call, Error, Payment, Result, Upstream
from adapters.uagents import almanac as directory
from adapters.uagents import calling, chat, envelopes, typed
from adapters.uagents.signing import Signer
from gateway.settings import NetworkSettings
from gateway.testing import Box
from tests.adapters.uagents.house import house
from tests.e2e.uagents.almanac import Almanac, served

pytestmark = pytest.mark.e2e
ECHO = typed.made(
    "Echo", "Says it again.", {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
)
ECHOED = typed.made("Echoed", "", {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]})


class Sly:
    """An agent in this process. `answer` gives the body of each response; what comes for it stands in `heard`."""

    def __init__(self) -> None:
        self.signer = Signer.fresh()
        self.heard: asyncio.Queue[Envelope] = asyncio.Queue()
        self.answer: Callable[[Envelope], tuple[int, bytes]] = lambda _: (200, b"{}")

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            came = Envelope.model_validate_json(await reader.readexactly(length))
            self.heard.put_nowait(came)
            status, body = self.answer(came)
            writer.write(
                b"HTTP/1.1 %d OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % (status, len(body)) + body
            )
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        server.close()

    def reply(self, came: Envelope, message: Any = None, **changed: Any) -> Envelope:
        made = envelopes.make(self.signer, came.sender, came.session, message or (ECHOED.digest, {"text": "hello"}))
        made = made.model_copy(update=changed)
        if changed and "signature" not in changed:
            made.signature = self.signer.sign_digest(envelopes.digest(made))
        return made


@pytest.fixture
async def sly(box: Box) -> AsyncIterator[Sly]:
    """It chats, and has one model; the gateway has it as its upstream `sly`."""
    almanac, made = Almanac(), Sly()
    async with served(almanac) as url, made.open() as base, httpx2.AsyncClient(trust_env=False) as client:
        from uagents_core.protocol import ProtocolSpecification

        spec = ProtocolSpecification(name="Echo", interactions={ECHO.model: {ECHOED.model}})
        speak = directory.Almanac(client, url)
        await speak.publish(spec.manifest())
        await speak.attest([directory.attestation(made.signer, f"{base}/submit", [chat.DIGEST, spec.digest])])
        box.gateway.settings.networks["uagents"] = NetworkSettings.model_validate({"almanac": url, "private": [base]})
        await box.serve()
        options = {"almanac": url, "private": [base]}
        await box.add(Upstream("sly", "uagents", f"agent://{made.signer.address}", options=options))
        yield made


async def last(box: Box, tool: str, arguments: dict[str, Any], **more: Any) -> Any:
    call = Call(uuid.uuid4().hex, f"sly__{tool}", arguments, box.caller, **more)
    return [event async for event in box.invoke(call)][-1]


def said(envelope: Envelope) -> tuple[int, bytes]:
    return 200, envelope.model_dump_json().encode()


STRANGER = Signer.fresh()
WRONG: dict[str, Callable[[Sly, Envelope], tuple[int, bytes]]] = {
    "another session": lambda s, e: said(s.reply(e, session=uuid.uuid4())),
    "another target": lambda s, e: said(s.reply(e, target=STRANGER.address)),
    "another sender": lambda s, e: said(s.reply(e, sender=STRANGER.address)),
    "a forged signature": lambda s, e: said(s.reply(e, signature=STRANGER.sign_digest(bytes(32)))),
    "an unknown model": lambda s, e: said(s.reply(e, ("model:" + "0" * 64, {}))),
    "no JSON inside": lambda s, e: said(s.reply(e, payload="AAAA")),
    "no base64 inside": lambda s, e: said(s.reply(e, payload="???")),
    "no envelope": lambda s, e: (200, b'{"hello": 1}'),
    "no JSON": lambda s, e: (200, b"<html>"),
    "nothing": lambda s, e: (200, b""),
    "refusal": lambda s, e: (400, b'{"error": "not today"}'),
    "failure": lambda s, e: (500, b"oops"),
    "an error message": lambda s, e: said(s.reply(e, (calling.ERROR, {"error": "no"}))),
}


@pytest.mark.parametrize("how", WRONG, ids=WRONG.keys())
async def test_a_synchronous_answer_belongs_to_its_question_or_is_none(box: Box, sly: Sly, how: str) -> None:
    sly.answer = lambda came: WRONG[how](sly, came)
    found = await last(box, "Echo", {"text": "hello"})
    assert isinstance(found, Error), found
    assert found.error.code in ("broken", "refused")
    assert found.error.delivered == "yes"
    sly.answer = lambda came: said(sly.reply(came))
    good = await last(box, "Echo", {"text": "hello"})
    assert isinstance(good, Result), good
    assert good.structured == {"text": "hello"}
    sly.answer = lambda came: said(sly.reply(came, signature=None))
    assert isinstance(await last(box, "Echo", {"text": "hello"}), Result), "stock agents sign no synchronous answer"


async def test_each_synchronous_call_comes_from_an_identity_of_its_own(box: Box, sly: Sly) -> None:
    sly.answer = lambda came: said(sly.reply(came))
    await asyncio.gather(*(last(box, "Echo", {"text": "x"}) for _ in range(20)))
    assert len({sly.heard.get_nowait().sender for _ in range(20)}) == 20


async def post(box: Box, envelope: Envelope) -> int:
    async with httpx2.AsyncClient(base_url=box.gateway.base_url, trust_env=False) as client:
        headers = {"content-type": "application/json"}
        response = await client.post("/uagents/submit", content=envelope.model_dump_json(), headers=headers)
    return response.status_code


async def test_only_the_agent_that_was_asked_answers_and_only_in_the_session(box: Box, sly: Sly) -> None:
    asking = asyncio.create_task(last(box, "ask", {"message": "hello"}))
    came = await sly.heard.get()
    assert chat.read(envelopes.payload(came)).text == "hello"
    stranger = envelopes.make(STRANGER, came.sender, came.session, chat.say("from a stranger"))
    elsewhere = envelopes.make(sly.signer, came.sender, uuid.uuid4(), chat.say("in another session"))
    forged = sly.reply(came, chat.say("forged")).model_copy(update={"signature": STRANGER.sign_digest(bytes(32))})
    assert [await post(box, e) for e in (stranger, elsewhere, forged)] == [200, 200, 400]
    assert not asking.done()
    true = sly.reply(came, chat.say("truly"))
    assert await post(box, true) == 200
    found = await asking
    assert isinstance(found, Result), found
    assert found.text == "truly"
    assert await post(box, true) == 400, "and not twice"


async def test_callers_are_told_apart_by_their_addresses_and_conversations_by_sessions(box: Box, sly: Sly) -> None:
    from dataclasses import replace

    async def ask(caller: str, conversation: str | None) -> tuple[str, uuid.UUID]:
        who = replace(box.caller, id=caller)
        call = Call(uuid.uuid4().hex, "sly__ask", {"message": "x"}, who, conversation=conversation)

        async def run() -> Any:
            return [event async for event in box.invoke(call)][-1]

        task = asyncio.create_task(run())
        came = await sly.heard.get()
        await post(box, sly.reply(came, chat.say("y")))
        await task
        assert (await sly.heard.get()).schema_digest == chat.ACKNOWLEDGEMENT
        return came.sender, came.session

    ann, again, bob = [await ask(*who) for who in (("ann", "c"), ("ann", "c"), ("bob", "c"))]
    assert ann == again
    assert ann[0] != bob[0]
    assert ann[1] != bob[1]
    one, two = await ask("ann", None), await ask("ann", None)
    assert one[1] != two[1]


# ---- payments ----------------------------------------------------------------------------------------------------

BILL = RequestPayment(
    accepted_funds=[Funds(amount="0.25", currency="FET")], recipient="fetch1seller", deadline_seconds=60, reference="r1"
)


async def test_a_seller_that_asks_for_a_payment_ends_the_call_with_a_question(box: Box, sly: Sly) -> None:
    asking = asyncio.create_task(last(box, "ask", {"message": "the premium weather"}))
    came = await sly.heard.get()
    await post(box, sly.reply(came, BILL))
    asked = await asking
    assert isinstance(asked, Ask), asked
    (request,) = asked.requests
    assert isinstance(request, Payment)
    assert (str(request.price.amount), request.price.asset) == ("0.25", "FET")
    assert request.terms["recipient"] == "fetch1seller"
    answer = Answer(asked.token, {"payment": {"transaction_id": "tx1"}})
    paying = asyncio.create_task(last(box, "ask", {}, answer=answer))
    paid = await sly.heard.get()
    assert paid.schema_digest == calling.COMMIT
    assert paid.session == came.session
    told = envelopes.document(paid)
    assert (told["transaction_id"], told["recipient"], told["reference"]) == ("tx1", "fetch1seller", "r1")
    assert told["funds"] == {"amount": "0.25", "currency": "FET", "payment_method": "fet_direct"}
    await post(box, sly.reply(paid, CompletePayment(transaction_id="tx1")))
    await post(box, sly.reply(paid, chat.say("sunny")))
    found = await paying
    assert isinstance(found, Result), found
    assert found.text == "sunny"


async def test_who_declines_or_cannot_be_asked_has_the_seller_told(box: Box, sly: Sly) -> None:
    asking = asyncio.create_task(last(box, "ask", {"message": "x"}, answers=frozenset()))
    came = await sly.heard.get()
    await post(box, sly.reply(came, BILL))
    refused = await asking
    assert isinstance(refused, Error)
    assert "0.25 FET" in refused.error.public
    assert (await sly.heard.get()).schema_digest == calling.REJECT
    asking = asyncio.create_task(last(box, "ask", {"message": "x"}))
    came = await sly.heard.get()
    await post(box, sly.reply(came, BILL))
    asked = await asking
    declining = asyncio.create_task(last(box, "ask", {}, answer=Answer(asked.token, {"payment": None})))
    declined = await sly.heard.get()
    assert declined.schema_digest == calling.REJECT
    await post(box, sly.reply(declined, calling.CancelPayment(reason="then not")))
    ended = await declining
    assert isinstance(ended, Error)
    assert "then not" in ended.error.public


async def test_towards_us_nothing_is_settled_and_nobody_is_told_that_it_was(box: Box) -> None:
    home = await house(box)

    async def send(message: Model) -> Envelope:
        made = envelopes.make(home.sender, home.address, uuid.uuid4(), message)
        return Envelope.model_validate((await home.post(made)).json())

    commit = calling.CommitPayment(funds=Funds(amount="1", currency="FET"), recipient="r", transaction_id="tx9")
    answer = await send(commit)
    assert answer.schema_digest == calling.CANCEL
    assert envelopes.document(answer) == {"transaction_id": "tx9", "reason": calling.UNSETTLED}
    answer = await send(BILL)
    assert answer.schema_digest == calling.REJECT
    for other in (CompletePayment(transaction_id="tx9"), calling.CancelPayment(), calling.RejectPayment()):
        assert (await send(other)).schema_digest == calling.ERROR, "there is nothing to answer"
    assert home.far.seen["deliver"] == 0
