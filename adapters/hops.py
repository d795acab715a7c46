"""The chain of a call as text, the same on every carrier: `call/agent/tool` for each hop, by commas."""

import re

from adapters.errors import BadArguments
from adapters.spi import MAX_DEPTH, Hop

HOP = re.compile(r"([\x21-\x2b\x2d\x2e\x30-\x7e]{1,128})/([a-z0-9-]{1,64})/([a-zA-Z0-9_./-]{1,80})\Z")


def write(hops: tuple[Hop, ...]) -> str:
    return ",".join(f"{h.call}/{h.agent}/{h.tool}" for h in hops)


def read(text: str) -> tuple[Hop, ...]:
    """Raises `BadArguments` for text that `write` does not make, or a chain longer than any that is allowed."""
    if not text:
        return ()
    pieces = text.split(",", MAX_DEPTH + 1)
    found = [HOP.match(piece.strip()) for piece in pieces]
    if len(pieces) > MAX_DEPTH + 1 or not all(found):
        raise BadArguments(f"hops are at most {MAX_DEPTH} of call/agent/tool, separated by commas")
    return tuple(Hop(*match.groups()) for match in found if match)
