"""Questions back: the adapter's state becomes a sealed token, single-use, bound to caller, tool and expiry."""

import secrets
import time
from dataclasses import replace

import orjson

from adapters.errors import Expired
from adapters.spi import Answer, Ask, Call
from gateway.seal import Seal

USED = 100_000


class Asks:
    """Makes tokens and takes each back once. They live as long as the process: far sides that wait do not longer."""

    def __init__(self, seal: Seal, expiry: float) -> None:
        self._seal = seal
        self._expiry = expiry
        self._boot = secrets.token_hex(8)
        self._open: dict[str, float] = {}

    def token(self, ask: Ask, call: Call) -> Ask:
        """The same question, its state sealed into a token."""
        nonce = secrets.token_hex(16)
        now = time.time()
        self._open[nonce] = now + self._expiry
        if len(self._open) > USED:
            self._open = {n: t for n, t in self._open.items() if t > now}
        body = orjson.dumps({"n": nonce, "c": call.id, "s": ask.state})
        sealed = self._seal.seal(body, self._purpose(call))
        return replace(ask, state=None, token=sealed.hex())

    def take(self, call: Call) -> tuple[str, Answer]:
        """Id of the call that was asked, and the answer with its state. Raises `Expired`."""
        assert call.answer is not None
        try:
            sealed = bytes.fromhex(call.answer.token)
        except ValueError as fault:
            raise Expired("this token was not made by this gateway") from fault
        body = orjson.loads(self._seal.open(sealed, self._purpose(call)))
        if self._open.pop(body["n"], 0) < time.time():
            raise Expired("this question was answered already, or is too old; call the tool again")
        return body["c"], replace(call.answer, state=body["s"])

    def _purpose(self, call: Call) -> str:
        return f"ask\0{self._boot}\0{call.caller.id}\0{call.tool}"
