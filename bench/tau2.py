"""tau2 through the gateway: floor and ceiling from every agent, beside those of the harness by itself.

Retail by all agents (20 tasks; TASKS=n; ONLY=names of agents, by commas), the other domains by one of them (5 tasks
each; DOMAIN_TASKS=n, 0: none). The models are scripted: the user tells the task's own solution word by word, or asks
for help and leaves; so this measures what stands between harness and agent, and no agent's quality. Writes
build/bench-tau2.json; `python -m bench.plot` draws docs/benchmarks.svg from it.
"""

import asyncio
import json
import os
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import Any

from adapters.inspect.report import figures
from adapters.inspect.session import Bench, Outcome, direct, under_test
from bench.process import ROOT
from gateway.telemetry import start_log
from tests.e2e.inspect.stand import AGENTS, standing

TASKS = int(os.environ.get("TASKS", "20"))
ONLY = [name for name in os.environ.get("ONLY", "").split(",") if name]
MORE = int(os.environ.get("DOMAIN_TASKS", "5"))
TURNS = {"retail": 10, "airline": 10, "telecom": 60, "banking": 60}
"""Of a dialogue at most, by domain: in two of them the user has tools too, and each step of theirs is a turn."""
ONE = next(name for name in AGENTS if name != "eliza")
"""By which the other domains are run."""
SIDES = {"gold": "gold", "nothing": "mute"}
"""What the user says, by the name of the row."""
OUT = ROOT / "build" / "bench-tau2.json"
NOTE = "scripted models: no claim of quality"


def rows(domain: str, side: str, outcome: Outcome) -> list[dict[str, Any]]:
    """Of one arm: its reward, and the seconds that a task took."""
    found, name = figures(outcome, 1), f"tau2 {domain}/{side}/{outcome.agent}"
    seconds = round(outcome.seconds / found["samples"], 3)
    said = f"{found['n']} tasks, {found['errors']} errors, {found['calls']} calls, {NOTE}"
    return [
        {"name": name, "ok": found["errors"] == 0, "value": found["reward"], "unit": "reward", "note": said},
        {"name": f"{name}/seconds", "ok": True, "value": seconds, "unit": "s a task", "note": said},
    ]


async def main() -> int:
    """0: every agent's floor and ceiling are those of the harness by itself, task by task."""
    start_log("error")
    found: list[dict[str, Any]] = []
    same = True
    OUT.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        async with standing(Path(folder)) as stand:
            for domain, side in product(TURNS, SIDES):
                words = SIDES[side]
                count = TASKS if domain == "retail" else MORE
                args = {"shuffle": False, "message_limit": TURNS[domain]}
                bench = Bench(f"inspect_evals.tau2.tau2:tau2_{domain}", args, limit=count, words=words, steps=60)
                if not count:
                    continue
                alone = await direct(stand.child, bench, side)
                for agent in ["", *((ONLY or AGENTS) if domain == "retail" else [ONE])]:
                    arm = await under_test(stand.child, stand.door, bench, agent) if agent else alone
                    same = _kept(found, rows(domain, side, arm), _rewards(arm) == _rewards(alone)) and same
    return 0 if same else 1


def _kept(found: list[dict[str, Any]], here: list[dict[str, Any]], same: bool) -> bool:
    """Prints and writes the rows of an arm; whether it is well."""
    here[0]["ok"] = here[0]["ok"] and same
    found += here
    OUT.write_text(json.dumps(found, indent=1) + "\n")
    shown = f"{here[0]['value']:.3f}  {here[1]['value']:.2f} s a task  {here[0]['note']}"
    print(f"{here[0]['name']:44} {shown}{'' if here[0]['ok'] else '  NOT THE SAME'}", flush=True)
    return bool(here[0]["ok"])


def _rewards(outcome: Outcome) -> dict[str, float | None]:
    return {one["id"]: one["reward"] for one in outcome.samples}


if __name__ == "__main__":
    began = time.monotonic()
    code = asyncio.run(main())
    print(f"{time.monotonic() - began:.0f} s")
    raise SystemExit(code)
