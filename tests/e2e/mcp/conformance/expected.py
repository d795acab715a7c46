"""The failures that are known, each with its reason; and the comparison."""

import fnmatch
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.mcp.conformance.suite import Check

FILE = Path(__file__).parent / "expected.toml"


@dataclass(frozen=True, slots=True)
class Expected:
    """A check that fails, by `suite` and `check` (both globs), where calls go `through`."""

    suite: str
    check: str
    through: str
    reason: str

    def covers(self, suite: str, through: str, check: Check) -> bool:
        named = fnmatch.fnmatchcase(suite, self.suite) and fnmatch.fnmatchcase(check.key, self.check)
        return named and self.through == through


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one run came out."""

    passed: int
    known: tuple[Check, ...]
    unexpected: tuple[Check, ...]
    stale: tuple[Expected, ...]

    @property
    def ok(self) -> bool:
        return not self.unexpected and not self.stale and self.passed > 0


def load(path: Path = FILE) -> list[Expected]:
    """Raises `ValueError` for an entry without a reason."""
    found = [Expected(**entry) for entry in tomllib.loads(path.read_text()).get("failure", [])]
    for entry in found:
        if not entry.reason.strip():
            raise ValueError(f"{entry.check} is expected to fail, and nobody says why")
    return found


def judge(suite: str, through: str, checks: Sequence[Check], expected: Sequence[Expected]) -> Verdict:
    """An entry that names checks of this run, of which none fails, is stale; one that names none is another run's."""
    known: list[Check] = []
    unexpected: list[Check] = []
    for check in checks:
        if not check.ok:
            listed = any(entry.covers(suite, through, check) for entry in expected)
            (known if listed else unexpected).append(check)
    stale = [
        entry
        for entry in expected
        if (named := [c for c in checks if entry.covers(suite, through, c)]) and all(c.ok for c in named)
    ]
    return Verdict(sum(c.ok for c in checks), tuple(known), tuple(unexpected), tuple(stale))
