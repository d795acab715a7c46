"""The one public name of an agent and of a tool: legal on every network, given once, never given to another."""

import difflib
import re
import unicodedata
from bisect import bisect
from collections.abc import Container, Iterable, Sequence
from hashlib import sha256

SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*\Z")
SLUG_LENGTH = 24
TOOL_LENGTH = 64
AIM = 40
"""Characters at which a tool's name is aimed; its own part is left at least 24."""
DIGEST = 6
ALIKE = 1000
"""Names that are compared to find the nearest."""


def slug(name: str, identity: str, taken: Container[str]) -> str:
    """A slug for the agent of this display name; `identity` (network, upstream and native id) decides collisions.

    `[a-z0-9]+(-[a-z0-9]+)*`, at most 24 characters, not in `taken`.
    """
    words = re.findall(r"[a-z0-9]+", fold(name).lower())
    base = _cut("-".join(words), SLUG_LENGTH).strip("-")
    if base and base not in taken:
        return base
    stem = _cut(base or "agent", SLUG_LENGTH - 1 - DIGEST).strip("-")
    return _first_free((f"{stem}-{digest(identity, turn)}" for turn in range(1000)), taken)


def tool(agent: str, native: str, taken: Container[str]) -> str:
    """`{agent}__{tool}` in `[a-zA-Z0-9_-]`, at most 64 characters, not in `taken`.

    Runs of other characters become one `_`. What has no legal letter, is too long, or is taken ends with a hash of
    the native name.
    """
    room = max(AIM, len(agent) + 2 + 24) - len(agent) - 2
    part = re.sub(r"[^a-zA-Z0-9-]+", "_", fold(native)).strip("_")
    whole = f"{agent}__{part}"
    if part and len(part) <= room and whole not in taken:
        return whole
    stem = part[: room - 1 - DIGEST].rstrip("_-") or "tool"
    return _first_free((f"{agent}__{stem}_{digest(native, turn)}" for turn in range(1000)), taken)


def nearest(ordered: Sequence[str], name: str, count: int) -> list[str]:
    """Those of the sorted names that look like this one, most alike first. Of very many: of those that begin as it."""
    name = name[:80]
    start = max(0, min(bisect(ordered, name) - ALIKE // 2, len(ordered) - ALIKE))
    return difflib.get_close_matches(name, ordered[start : start + ALIKE], count, 0.5)


def fold(text: str) -> str:
    """Letters without their marks (NFKD), ASCII only."""
    return unicodedata.normalize("NFKD", text[:1000]).encode("ascii", "ignore").decode()


def digest(text: str, turn: int = 0) -> str:
    """Six hex digits that depend on the text alone; another six for each turn."""
    return sha256(f"{turn}\0{text}".encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST]


def _cut(text: str, length: int) -> str:
    """At a hyphen if that does not lose more than half."""
    if len(text) <= length:
        return text
    head = text[:length]
    word = head.rpartition("-")[0]
    return word if text[length] != "-" and len(word) > length // 2 else head


def _first_free(candidates: Iterable[str], taken: Container[str]) -> str:
    for candidate in candidates:
        if candidate not in taken:
            return candidate
    raise AssertionError("a thousand names with different hashes are taken")
