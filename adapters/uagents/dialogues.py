"""Chats with agents of the network: each call in a session, and what is heard in it made into events."""

import asyncio
import uuid
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from time import monotonic
from typing import Any

from uagents_core.contrib.protocols.payment import CommitPayment, Funds, RejectPayment
from uagents_core.envelope import Envelope
from uagents_core.models import Model

from adapters import hops
from adapters.errors import BadArguments, Broken, ConnectFailed, GatewayError, Refused, RemoteError
from adapters.spi import LAST, Ask, Call, Event, File, Host, Part, Text, Tool
from adapters.uagents import almanac, calling, chat, envelopes, translate
from adapters.uagents.exchange import Dialogue, Exchange, Post, told
from adapters.uagents.roster import NETWORK
from adapters.uagents.signing import Signer

KEPT = 10_000
"""Conversations and identities that are remembered."""
AGAIN = 3600.0
"""Seconds after which our identity is made known anew."""
REACH = 30.0


@dataclass(slots=True)
class Turn:
    """One conversation: who speaks now, and in which session. A call that ended without an answer leaves its session:
    what may still come would else be taken for the answer to the next."""

    session: uuid.UUID
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    ended: bool = True


@dataclass(slots=True)
class Said:
    """What an agent has said so far in one call."""

    until: str
    text: str = ""
    files: list[File] = field(default_factory=list[File])
    meta: dict[str, str] = field(default_factory=dict[str, str])
    streams: set[uuid.UUID] = field(default_factory=set[uuid.UUID])

    def add(self, heard: chat.Heard) -> bool:
        """Whether that was the last of it."""
        self.text += heard.text
        self.files += heard.files
        self.meta |= heard.meta
        self.streams = (self.streams | heard.started) - heard.ended
        if heard.ends:
            return True
        said = bool(self.text or self.files or "structured" in heard.meta)
        return self.until == "message" and said and not self.streams


class Dialogues:
    """Of one upstream."""

    def __init__(self, host: Host, post: Post, meeting: Exchange, until: str) -> None:
        self._host = host
        self._post = post
        self._exchange = meeting
        self._until = until
        self._turns: OrderedDict[tuple[str, str, str], Turn] = OrderedDict()
        self._signers: OrderedDict[tuple[int, str], Signer] = OrderedDict()
        self._announced: OrderedDict[str, asyncio.Task[float]] = OrderedDict()
        self._sending: set[asyncio.Task[None]] = set()

    async def end(self) -> None:
        """Gives up what is still being sent."""
        tasks: list[asyncio.Task[Any]] = [*self._sending, *self._announced.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._announced.clear()

    # -- one call -------------------------------------------------------------------------------------------------

    async def talk(self, call: Call, tool: Tool) -> AsyncGenerator[Event, None]:
        """Raises `GatewayError`s."""
        if not self._exchange.url:
            raise ConnectFailed(
                "chat agents answer by messages of their own, and nothing listens here; run: doolittle serve",
                delivered="no",
            )
        signer = self._signer(call.caller.id)
        await self._announce(signer)
        async with self._turn(call, tool.address.native) as turn:
            session = uuid.UUID(call.answer.state["session"]) if call.answer else turn.session
            with self._exchange.dialogue(signer.address, session, tool.address.native) as dialogue:
                say = partial(self._say, signer, tool.address.native, session)
                await say(_first(call))
                async with aclosing(self._hear(call, tool, dialogue, say)) as events:
                    try:
                        async for event in events:
                            turn.ended = isinstance(event, LAST)  # as it should: the conversation stays here
                            yield event
                    except RemoteError:
                        turn.ended = True
                        raise

    @asynccontextmanager
    async def _turn(self, call: Call, agent: str) -> AsyncIterator[Turn]:
        """The conversation, when it is this call's turn. Without one, a call has a session of its own."""
        name = str(call.arguments.get("conversation") or call.conversation or "")
        if not name:
            yield Turn(envelopes.session())
            return
        key = (call.caller.id, agent, name)
        turn = self._turns.setdefault(key, Turn(self._derived(*key)))
        self._turns.move_to_end(key)
        async with turn.lock:
            if not turn.ended:
                turn.session = envelopes.session()
            turn.ended = False
            yield turn
        while len(self._turns) > KEPT and not next(iter(self._turns.values())).lock.locked():
            self._turns.popitem(last=False)

    def _derived(self, *key: str) -> uuid.UUID:
        """The same after a restart, and not to be guessed."""
        seed = self._host.keyring.seed(NETWORK, "sessions", "")
        return uuid.UUID(bytes=sha256(seed + "\0".join(key).encode()).digest()[:16], version=4)

    def _signer(self, caller: str) -> Signer:
        """The identity by which agents know a caller."""
        key = (self._host.keyring.revision, caller)
        found = self._signers.get(key)
        if found is None:
            found = self._signers[key] = Signer(self._host.keyring.seed(NETWORK, "caller", caller))
            while len(self._signers) > KEPT:
                self._signers.popitem(last=False)
        return found

    async def _announce(self, signer: Signer) -> None:
        """Makes known where answers to it go. Raises `ConnectFailed`."""
        known = self._announced.get(signer.address)
        if known is not None and known.done():
            good = not known.cancelled() and known.exception() is None and monotonic() - known.result() < AGAIN
            known = known if good else None
        if known is None:
            known = self._announced[signer.address] = asyncio.create_task(self._attest(signer), name="uagents attest")
            while len(self._announced) > KEPT:
                self._announced.popitem(last=False)
        try:
            await asyncio.shield(known)
        except GatewayError as fault:
            said = f"answers cannot come back, for the Almanac does not take our address: {fault.public}"
            raise ConnectFailed(said, detail=fault.detail, delivered="no") from fault

    async def _attest(self, signer: Signer) -> float:
        await self._post.almanac.attest([almanac.attestation(signer, self._exchange.url, [chat.DIGEST])])
        return monotonic()

    async def _say(self, signer: Signer, agent: str, session: uuid.UUID, message: Model) -> None:
        await self._post.send(envelopes.make(signer, agent, session, message), REACH)

    def _soon(self, sending: Any) -> None:
        """Sends without anybody waiting for it; what fails is logged."""

        async def send() -> None:
            try:
                await sending
            except GatewayError as fault:
                self._host.log.info("an agent does not take an answer", said=fault.public, detail=fault.detail)

        task = asyncio.create_task(send(), name="uagents acknowledgement")
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    # -- what is heard --------------------------------------------------------------------------------------------

    async def _hear(self, call: Call, tool: Tool, dialogue: Dialogue, say: Any) -> AsyncGenerator[Event, None]:
        said = Said(self._until)
        while True:
            envelope = await dialogue.next()
            digest = envelope.schema_digest
            if digest == calling.ERROR:
                raise told(str(_document(envelope, tool).get("error")), tool.agent)
            if digest == calling.CANCEL:
                raise Refused(f"'{tool.agent}' took the payment back: {_document(envelope, tool).get('reason')}")
            if digest == calling.REQUEST:
                yield await self._asked_to_pay(call, tool, envelope, say)
                return
            if digest != chat.MESSAGE:
                continue
            heard = _read(envelope, tool)
            self._soon(say(chat.acknowledge(heard.id)))
            if heard.progress is not None and not heard.text:
                yield heard.progress
                continue
            last = said.add(heard)
            if "error" in heard.meta:
                raise translate.code(heard.meta["error"], said.text, tool.agent)
            if last:
                yield chat.result(said.text, said.files, said.meta)
                return
            if heard.text:
                yield Part(Text(heard.text))

    async def _asked_to_pay(self, call: Call, tool: Tool, envelope: Envelope, say: Any) -> Event:
        """The question back, where the caller can answer it. Raises `Refused`: then the seller is told so too."""
        asked = translate.payment(_document(envelope, tool))
        if "payment" not in call.answers:
            self._soon(say(RejectPayment(reason="nobody here can pay")))
            raise Refused(f"'{tool.agent}' asks for {asked.price.amount} {asked.price.asset}, and nobody here can pay")
        return Ask((asked,), state={"session": str(envelope.session), "terms": dict(asked.terms)})


def _first(call: Call) -> Model:
    """What opens the call: words; or, to a seller, what was paid."""
    if call.answer is None:
        return chat.ask(str(call.arguments["message"]), hops=hops.write(call.hops))
    paid = call.answer.values.get("payment")
    if not isinstance(paid, dict) or not isinstance(paid.get("transaction_id"), str):
        return RejectPayment(reason="it was declined")
    terms: dict[str, Any] = call.answer.state["terms"]
    first: dict[str, Any] = terms["accepted_funds"][0]
    funds = Funds(**{name: str(first[name]) for name in ("amount", "currency", "payment_method") if name in first})
    return CommitPayment(
        funds=funds, recipient=str(terms.get("recipient")), transaction_id=paid["transaction_id"],
        reference=terms.get("reference"), description=terms.get("description"),
    )  # fmt: skip


def _read(envelope: Envelope, tool: Tool) -> chat.Heard:
    try:
        return chat.read(envelopes.payload(envelope))
    except BadArguments as fault:
        raise Broken(f"'{tool.agent}' sent something that is no chat message") from fault


def _document(envelope: Envelope, tool: Tool) -> dict[str, Any]:
    try:
        return envelopes.document(envelope)
    except BadArguments as fault:
        raise Broken(f"'{tool.agent}' sent something that is not JSON") from fault
