"""`make conformance`: MCP's conformance suites, against the fixture by itself and through the gateway.

    python -m tests.e2e.mcp.conformance [--direct | --gateway] [--url URL] [--only WORDS] [--verbose]

`--url` tests a server that already runs, in place of the gateway; `--only` takes suites whose name contains the words.
Ends with 0 if nothing failed that `expected.toml` does not list, and all that it lists still fails. Writes
build/conformance.json.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from examples.tour.eliza import npm_ci
from tests.e2e.mcp.child import ROOT, everything
from tests.e2e.mcp.conformance import expected, stand, suite
from tests.e2e.mcp.conformance.expected import Verdict
from tests.e2e.mcp.conformance.suite import CLIENTS, HERE, SERVER, Check, Suite

BESIDE = 2
"""Client scenarios at a time: each starts a gateway."""
Row = tuple[str, str, Verdict]
console = Console(width=140)


@asynccontextmanager
async def target(through: str, far: str, given: str, folder: Path) -> AsyncIterator[str]:
    """The URL to test."""
    if given or through == "direct":
        yield given or far
        return
    async with stand.gateway(far, folder) as url:
        yield url


async def servers(through: str, options: argparse.Namespace, folder: Path) -> list[tuple[str, list[Check]]]:
    """Each server suite on a fixture and a gateway of its own: no run sees what another left behind."""
    found: list[tuple[str, list[Check]]] = []
    for number, each in enumerate(s for s in SERVER if options.only in s.name):
        home = folder / f"{through}-{number}"
        home.mkdir()
        console.print(f"{each.name}, {through} …")
        try:
            async with everything() as far, target(through, far, options.url, home) as url:
                found.append((each.name, await suite.serve(each, url, home / "results")))
        except (RuntimeError, TimeoutError, OSError, ExceptionGroup) as fault:
            found.append((each.name, [Check("rig", "start", False, f"{type(fault).__name__}: {_cause(fault)}")]))
    return found


def _cause(fault: BaseException) -> str:
    """The text of the first fault inside groups of them."""
    while isinstance(fault, BaseExceptionGroup):
        fault = fault.exceptions[0]
    return str(fault)[:1500]


async def clients(through: str, options: argparse.Namespace, folder: Path) -> list[tuple[str, list[Check]]]:
    """Each scenario of each client suite."""
    beside = asyncio.Semaphore(BESIDE)

    async def one(each: Suite, scenario: str) -> list[Check]:
        async with beside:
            return await suite.call(each, scenario, folder / f"{through}-{each.name.replace(' ', '-')}", through)

    found: list[tuple[str, list[Check]]] = []
    for each, scenarios in CLIENTS:
        if options.only in each.name:
            console.print(f"{each.name}, {through} …")
            checks = await asyncio.gather(*(one(each, scenario) for scenario in scenarios))
            found.append((each.name, [check for some in checks for check in some]))
    return found


def show(rows: Sequence[Row], verbose: bool) -> None:
    """The table, and beneath it what nobody expected."""
    table = Table("suite", "through", "passed", "failed", "of these known", "stale")
    for name, through, v in rows:
        failed = len(v.known) + len(v.unexpected)
        table.add_row(name, through, str(v.passed), str(failed), str(len(v.known)), str(len(v.stale)))
    for name, through, v in rows:
        for check in v.unexpected:
            message = check.message if verbose else check.message[:400]
            console.print(f"unexpected: {name}, {through}: {check.key}\n    {message}", markup=False, soft_wrap=True)
        for entry in v.stale:
            console.print(f"stale: {name}, {through}: {entry.check} passes now", markup=False, soft_wrap=True)
    console.print(table)


def record(rows: Sequence[Row]) -> None:
    """build/conformance.json."""
    figures: list[dict[str, Any]] = [
        {
            "name": f"{name}, {through}",
            "ok": v.ok,
            "value": v.passed,
            "unit": "checks",
            "note": f"{len(v.unexpected)} failed, {len(v.known)} known to fail, {len(v.stale)} stale",
        }
        for name, through, v in rows
    ]
    path = ROOT / "build" / "conformance.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(figures, indent=1) + "\n")


async def main(options: argparse.Namespace) -> int:
    npm_ci(HERE, console.print)
    known = expected.load()
    ways = ["direct"] if options.direct else ["gateway"] if options.gateway or options.url else ["direct", "gateway"]
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for through in ways:
            runs = await servers(through, options, Path(folder))
            if not options.url:
                runs += await clients(through, options, Path(folder))
            rows += [(name, through, expected.judge(name, through, checks, known)) for name, checks in runs]
    show(rows, options.verbose)
    record(rows)
    return 0 if rows and all(v.ok for _, _, v in rows) else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.mcp.conformance")
    parser.add_argument("--direct", action="store_true", help="the fixture alone")
    parser.add_argument("--gateway", action="store_true", help="through the gateway alone")
    parser.add_argument("--url", default="", help="a server that already runs")
    parser.add_argument("--only", default="", help="suites whose name contains this")
    parser.add_argument("--verbose", action="store_true", help="failures with all that was on the wire")
    sys.exit(asyncio.run(main(parser.parse_args())))
