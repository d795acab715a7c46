"""Makes bad envelopes of good ones, the same for the same seed."""

import base64
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

Said = dict[str, Any]
FIELDS = ("version", "sender", "target", "session", "schema_digest", "protocol_digest", "payload", "expires", "nonce",
          "signature")  # fmt: skip
SIGNED = ("sender", "target", "session", "schema_digest", "payload", "expires", "nonce")
JUNK: tuple[Any, ...] = (
    None, True, 0, -1, 1, 2**31, 2**63, 2**64, 2**200, 1.5, 1e308, "", " ", "\0", "x" * 5000, "é", "𝔸", "null",
    "agent1", "sig1", "user1", "model:", "=", "====", "AAAA", [], {}, [None], {"a": 1},
    "00000000-0000-0000-0000-000000000000",
)  # fmt: skip


class Mutator:
    """`envelopes` are good ones, as JSON objects."""

    def __init__(self, envelopes: list[Said], seed: int) -> None:
        self._good = envelopes
        self._random = random.Random(seed)
        self._ways: list[Callable[[Said], Said]] = [
            self._junk, self._drop, self._swap, self._letter, self._cut, self._grow, self._number, self._border,
            self._case, self._payload, self._more, self._expiry,
        ]  # fmt: skip

    def many(self, count: int) -> Iterator[tuple[Said, bytes]]:
        """Each with the good one that it was made of."""
        for _ in range(count):
            good = self._random.choice(self._good)
            made = dict(good)
            for _ in range(self._random.choice((1, 1, 1, 2, 3))):
                made = self._random.choice(self._ways)(made)
            body = json.dumps(made).encode()
            if self._random.random() < 0.2:
                body = self._bytes(body)
            yield good, body

    def _some(self, said: Said, *kinds: type) -> str:
        found = [f for f in FIELDS if not kinds or (isinstance(said.get(f), kinds) and said.get(f))]
        return self._random.choice(found or list(FIELDS))

    def _junk(self, said: Said) -> Said:
        return {**said, self._some(said): self._random.choice(JUNK)}

    def _drop(self, said: Said) -> Said:
        gone = self._some(said)
        return {name: value for name, value in said.items() if name != gone}

    def _swap(self, said: Said) -> Said:
        """A field of another good envelope, or two fields in each other's place."""
        name = self._some(said)
        if self._random.random() < 0.5:
            return {**said, name: self._random.choice(self._good)[name]}
        other = self._some(said)
        return {**said, name: said.get(other), other: said.get(name)}

    def _letter(self, said: Said) -> Said:
        name = self._some(said, str)
        text = str(said.get(name) or "x")
        at = self._random.randrange(len(text))
        letter = self._random.choice("qpzry9x8gf2tvdw0s3jn54khce6mua7l10:=+/AZ\0é-")
        return {**said, name: text[:at] + letter + text[at + 1 :]}

    def _cut(self, said: Said) -> Said:
        name = self._some(said, str)
        text = str(said.get(name) or "x")
        at = self._random.randrange(len(text))
        return {**said, name: text[:at] if self._random.random() < 0.5 else text[at + 1 :]}

    def _grow(self, said: Said) -> Said:
        name = self._some(said, str)
        text = str(said.get(name) or "x")
        more = self._random.choice((" ", "\n", "=", "q", "0", text, "\u200b"))
        return {**said, name: text + more if self._random.random() < 0.5 else more + text}

    def _number(self, said: Said) -> Said:
        name = self._random.choice(("expires", "nonce", "version"))
        value = said.get(name)
        value = value if isinstance(value, int) else 0
        change = self._random.choice((1, -1, 2**32, -value, 2**63 - value, 10**6))
        made: Any = value + change
        return {**said, name: self._random.choice((made, float(made), str(made)))}

    def _border(self, said: Said) -> Said:
        """Letters pass from one signed field into its neighbour, so that what is signed stays the same."""
        at = self._random.randrange(4)
        left, right = SIGNED[at], SIGNED[at + 1]
        one, two = str(said.get(left) or ""), str(said.get(right) or "")
        size = self._random.randrange(1, 9)
        if self._random.random() < 0.5:
            return {**said, left: one + two[:size], right: two[size:]}
        return {**said, left: one[:-size], right: one[-size:] + two}

    def _case(self, said: Said) -> Said:
        name = self._some(said, str)
        return {**said, name: str(said.get(name) or "").swapcase()}

    def _payload(self, said: Said) -> Said:
        """Still base64, of something else; or the same, written otherwise."""
        try:
            raw = base64.b64decode(str(said.get("payload")), validate=False)
        except ValueError:
            raw = b"?"
        change = self._random.choice((raw + b" ", raw[:-1], b"", b"[]", b"null", b"\xff", raw * 2, b"{" * 5000))
        return {**said, "payload": base64.b64encode(change).decode()}

    def _expiry(self, said: Said) -> Said:
        """The expiry becomes letters of the payload, the nonce the expiry: the same bytes are signed."""
        expires, nonce = said.get("expires"), said.get("nonce")
        number = expires if isinstance(expires, int) and 0 <= expires < 2**64 else 0
        letters = number.to_bytes(8, "big").decode("latin-1")
        return {**said, "payload": str(said.get("payload") or "") + letters, "expires": nonce, "nonce": None}

    def _more(self, said: Said) -> Said:
        return {**said, self._random.choice(("extra", "Sender", "__class__", "model_config")): JUNK[0]}

    def _bytes(self, body: bytes) -> bytes:
        """Below JSON."""
        at = self._random.randrange(len(body))
        match self._random.randrange(5):
            case 0:
                return body[:at]
            case 1:
                return body[:at] + bytes([self._random.randrange(256)]) + body[at + 1 :]
            case 2:
                return body[:at] + body[at + self._random.randrange(1, 20) :]
            case 3:
                return body[:-1] + b',"sender":"agent1q","expires":99999999999}'
            case _:
                return body + body
