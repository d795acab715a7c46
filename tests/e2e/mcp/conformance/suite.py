"""The suites of `@modelcontextprotocol/conformance`: how they are started, and what they found."""

import asyncio
import json
import re
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from examples.tour.eliza import NODE
from tests.e2e.mcp.child import child

HERE = Path(__file__).parent
CLIENT = f"{sys.executable} -m tests.e2e.mcp.conformance.client"
LONGEST = 600.0
STAMP = re.compile(r"-\d{4}-\d\d-\d\dT[\d-]+Z\Z")
COUNTED = ("SUCCESS", "FAILURE", "WARNING")


@dataclass(frozen=True, slots=True)
class Suite:
    """One run: which package, the words that choose its scenarios, and how many checks it is known to have."""

    name: str
    package: str
    words: tuple[str, ...]


SERVER = (
    Suite("0.1 server", "conformance-0.1", ("--suite", "active")),
    Suite("0.2 server 2025-11-25", "conformance-0.2", ("--suite", "all", "--spec-version", "2025-11-25")),
    Suite("0.2 server 2026-07-28", "conformance-0.2", ("--suite", "all", "--spec-version", "2026-07-28")),
)
OLD = ("initialize", "tools_call", "elicitation-sep1034-client-defaults", "sse-retry")
SCHEMAS = "json-schema-2020-12-preservation"
NEW = (
    "tools_call", "request-metadata", "sep-2322-client-request-state", "http-standard-headers", "http-custom-headers",
    "http-invalid-tool-headers", "json-schema-ref-no-deref", SCHEMAS,
)  # fmt: skip
CLIENTS: tuple[tuple[Suite, tuple[str, ...]], ...] = (
    (Suite("0.1 client", "conformance-0.1", ()), OLD),
    (Suite("0.2 client 2025-11-25", "conformance-0.2", ("--spec-version", "2025-11-25")), (*OLD, SCHEMAS)),
    (Suite("0.2 client 2026-07-28", "conformance-0.2", ("--spec-version", "2026-07-28")), NEW),
)
"""The scenarios of `auth/` try OAuth flows: an upstream's key is a fixed bearer token here. Those of the skills
extension try hosts that read skills."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check of one scenario."""

    scenario: str
    id: str
    ok: bool
    message: str = ""

    @property
    def key(self) -> str:
        return f"{self.scenario}/{self.id}"


async def serve(suite: Suite, url: str, folder: Path) -> list[Check]:
    """Every scenario of a server suite against this URL."""
    log = await _run(suite, ("server", "--url", url, *suite.words, "-o", str(folder)))
    found = collected(folder)
    if not found:
        raise RuntimeError(f"{suite.name} found nothing: {log[-2000:]}")
    return found


async def call(suite: Suite, scenario: str, folder: Path, through: str) -> list[Check]:
    """One scenario of a client suite, with our client program; `through`: "direct" or "gateway"."""
    words = ("client", "--command", CLIENT, "--scenario", scenario, *suite.words, "-o", str(folder / scenario))
    log = await _run(suite, words, through)
    found = collected(folder / scenario, scenario)
    broke = "Client exited with code" in log or "Client timed out" in log
    said = "; ".join(line for line in log.splitlines() if line.startswith("fault:")) or log[-1000:]
    return [*found, Check(scenario, "the client ended well", not broke, said if broke else "")]


async def _run(suite: Suite, words: tuple[str, ...], through: str = "") -> str:
    program = HERE / "node_modules" / suite.package / "dist" / "index.js"
    async with child([str(NODE), str(program), *words], THROUGH=through) as process, asyncio.timeout(LONGEST):
        assert process.stdout
        said = await process.stdout.read()
        await process.wait()
        return said.decode("utf-8", "replace")


def collected(folder: Path, scenario: str = "") -> list[Check]:
    """What the suite wrote down, a name twice in one scenario numbered."""
    found: list[Check] = []
    for path in sorted(folder.glob("**/checks.json")):
        of = scenario or STAMP.sub("", path.parent.name).removeprefix("server-")
        seen: Counter[str] = Counter()
        for check in json.loads(path.read_text()):
            if check["status"] in COUNTED:
                found.append(_check(of, check, seen))
    return found


def _check(scenario: str, said: dict[str, Any], seen: Counter[str]) -> Check:
    name = said["id"] if said["id"] == said["name"] else f"{said['id']}:{said['name']}"
    seen[name] += 1
    numbered = name if seen[name] == 1 else f"{name}#{seen[name]}"
    wire = {k: v for k, v in (said.get("details") or {}).items() if k not in ("toolsListed",)}
    message = f"{said.get('errorMessage') or ''} {json.dumps(wire, ensure_ascii=False)[:1500] if wire else ''}".strip()
    ok = said["status"] == "SUCCESS"
    return Check(scenario, numbered, ok, "" if ok else f"{said['status']}: {message}")
