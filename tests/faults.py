"""Rows of `build/faults.json`: what `make faults` found. Any slow test adds its own.

    def test_something(fault_row: Row) -> None:
        fault_row("ssrf/allowed", ok=allowed == 0, value=allowed, unit="", note="…")

A row of a name takes the place of an older one. Outside `make faults` (without FAULTS in the environment) nothing is
written.
"""

import fcntl
import os
from pathlib import Path
from typing import Protocol

import orjson

from tests.conftest import ROOT

WHERE = ROOT / "build" / "faults.json"


class Row(Protocol):
    """Writes one row."""

    def __call__(self, name: str, *, ok: bool, value: float, unit: str = "", note: str = "") -> None: ...


def add(name: str, *, ok: bool, value: float, unit: str = "", note: str = "") -> None:
    if not os.environ.get("FAULTS"):
        return
    WHERE.parent.mkdir(exist_ok=True)
    with (WHERE.parent / "faults.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        rows = _read(WHERE)
        rows[name] = {"name": name, "ok": ok, "value": value, "unit": unit, "note": note}
        WHERE.write_bytes(orjson.dumps(list(rows.values()), option=orjson.OPT_INDENT_2))


def _read(path: Path) -> dict[str, dict[str, object]]:
    return {row["name"]: row for row in orjson.loads(path.read_bytes())} if path.exists() else {}
