"""Figures of the sidekicks: what a runner adds to its framework, how long a child takes to start, what it holds.

Each run asks a scripted model twice and calls one tool. Direct runs (`bench/direct.py`) and runs through the gateway
take turns, so that both meet the same machine: once with a model that answers at once, which no model does, and once
with one that writes 50 tokens a second. Frameworks over 500 MB are measured where they are installed.
"""

import asyncio
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any

from adapters.sidekick.child import Child
from adapters.sidekick.frameworks import RUNNER, Builtin, Framework, known
from adapters.sidekick.outbound import SidekickOutbound
from adapters.spi import Call, Result, Upstream
from adapters.venvs import Venvs
from bench.process import ROOT, TICK
from gateway.telemetry import start_log
from gateway.testing import Box

VENVS = ROOT / ".doolittle" / "sidekick"
LARGE = 500
TURNS = int(os.environ.get("SIDEKICK_RUNS", "40"))
TASK = '!use all__echo {"text": "by George"}'
SLOW = f"{TASK}\n!slow 0.02"
FEW = 2
"""Of a hundred: a task that writes a batch may just be at work."""
AIMS = {"overhead": 10.0, "idle MB": 400.0}
Row = dict[str, Any]


class Direct:
    """One framework without a runner."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def cpu(self) -> float:
        return cpu(self._process.pid)

    async def run(self, task: str) -> float:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(task).encode() + b"\n")
        return float(await self._process.stdout.readline())


class Through:
    """The gateway, with the sidekicks of one upstream."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self._number = 0

    async def run(self, tool: str, task: str = TASK) -> float:
        self._number += 1
        began = time.perf_counter()
        call = Call(f"bench{self._number}", tool, {"message": task, "tools": ["all__echo"]}, self._box.caller)
        last = [event async for event in self._box.invoke(call)][-1]
        assert isinstance(last, Result), last
        return (time.perf_counter() - began) * 1000

    @property
    def outbound(self) -> SidekickOutbound:
        found = self._box.outbound("helpers")
        assert isinstance(found, SidekickOutbound)
        return found

    def children(self, framework: Framework) -> list[Child]:
        return [c for (name, _), pool in self.outbound._pools.items() if name == framework.name for c in pool.children]


@asynccontextmanager
async def model() -> AsyncIterator[str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "examples.scripted_model.server", cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    line = await process.stdout.readline()
    try:
        yield line.decode().partition('"url": "')[2].rstrip('"}\n')
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def direct(framework: Framework, agent: Builtin, url: str, venvs: Venvs) -> AsyncIterator[Direct]:
    kept = f"{tempfile.mkdtemp(prefix='bench-')}/run" if agent.keeps else ""
    words = [str(RUNNER.parent), str(framework.backend), agent.name, url, kept]
    process = await asyncio.create_subprocess_exec(
        str(venvs.of(framework).python), "-I", str(ROOT / "bench" / "direct.py"), *words, stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "HOME": tempfile.gettempdir()},
    )  # fmt: skip
    try:
        yield Direct(process)
    finally:
        process.kill()
        await process.wait()
        if kept:
            shutil.rmtree(Path(kept).parent)


def cpu(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


async def rows() -> list[Row]:
    """Prints the figures; gives them as rows."""
    start_log("error")
    venvs = Venvs(VENVS)
    chosen = [one for one in known().values() if one.megabytes < LARGE or venvs.of(one).ready]
    for one in chosen:
        await venvs.install(one)
    found: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        box = Box(Path(folder))
        await box.open()
        async with model() as url:
            options = {"model": "scripted", "venvs": str(VENVS), "frameworks": [one.name for one in chosen]}
            await box.add(Upstream("world", "fake", "fake://bench"))
            await box.add(Upstream("helpers", "sidekick", url, options=options))
            through = Through(box)
            for one in chosen:
                found += await _framework(one, through, url, venvs)
            found += [await _idle(chosen, through), await _leaks(chosen[0], through)]
            await box.close()
    for row in found:
        print(f"{row['name']:44} {row['value']:9.2f} {row['unit']:8} {row['note']}")
    return found


async def _framework(one: Framework, through: Through, url: str, venvs: Venvs) -> list[Row]:
    """Cold start, and the overhead of each of its agents."""
    found: list[Row] = []
    for place, agent in enumerate(one.agents):
        first = await through.run(f"{agent.name}__ask")
        if place == 0:
            note = "from no process to the first answer: import, two requests to the model, one tool"
            found.append(_row(f"sidekick/{one.name}/cold start", first / 1000, "s", note))
        async with direct(one, agent, url, venvs) as alone:
            found += await _overhead(agent.name, alone, through, one)
    return found


async def _overhead(agent: str, alone: Direct, through: Through, one: Framework) -> list[Row]:
    found: list[Row] = []
    for _ in range(5):
        await alone.run(TASK)
        await through.run(f"{agent}__ask")
    (child,) = through.children(one)
    for name, task in (("at once", TASK), ("50 tokens/s", SLOW)):
        used = alone.cpu, cpu(child.pid), time.process_time()
        pairs = [(await alone.run(task), await through.run(f"{agent}__ask", task)) for _ in range(TURNS)]
        spent = alone.cpu - used[0], cpu(child.pid) - used[1], time.process_time() - used[2]
        less, more = median(a for a, _ in pairs), median(b for _, b in pairs)
        ms = [f"{value * 1000 / TURNS:.0f}" for value in spent]
        note = f"{less:.0f} -> {more:.0f} ms, medians of {TURNS}; CPU ms: {ms[0]} -> {ms[1]} + {ms[2]} in the gateway"
        over = (more / less - 1) * 100
        ok = over <= AIMS["overhead"] or task == TASK
        found.append(_row(f"sidekick/{agent}/overhead, {name}", over, "%", note, ok=ok))
    return found


async def _idle(chosen: list[Framework], through: Through) -> Row:
    """Four children that have worked: one of each framework that is not large, and more of the heaviest."""
    small = [one for one in chosen if one.megabytes < LARGE]
    heaviest = max(small, key=lambda one: through.children(one)[0].rss)
    pool = next(p for (name, _), p in through.outbound._pools.items() if name == heaviest.name)
    while sum(len(through.children(one)) for one in small) < 4:
        await pool.start()
    sizes = [child.rss for one in small for child in through.children(one)]
    note = " + ".join(f"{size:.0f}" for size in sizes)
    return _row("sidekick/four idle children", sum(sizes), "MB", note, ok=sum(sizes) < AIMS["idle MB"])


async def _leaks(one: Framework, through: Through) -> Row:
    """A hundred runs after each other, after as many to settle."""
    tool = f"{one.agents[0].name}__ask"
    for _ in range(100):
        await through.run(tool)
    before = _held(through, one)
    for _ in range(100):
        await through.run(tool)
    after = _held(through, one)
    grown = {name: after[name] - before[name] for name in before}
    few = all(grown[name] <= FEW for name in ("files", "tasks", "processes"))
    ok = few and grown["MB"] < 5
    note = ", ".join(f"{name} {value:+.1f}" for name, value in grown.items())
    return _row("sidekick/growth over 100 runs", grown["MB"], "MB", note, ok=ok)


def _held(through: Through, one: Framework) -> dict[str, float]:
    children = through.children(one)
    files = len(os.listdir("/proc/self/fd")) + sum(len(os.listdir(f"/proc/{c.pid}/fd")) for c in children)
    mine = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    tasks = len(asyncio.all_tasks())
    return {"MB": sum(c.rss for c in children), "files": files, "tasks": tasks, "processes": len(mine)}


def _row(name: str, value: float, unit: str, note: str, *, ok: bool = True) -> Row:
    return {"name": name, "ok": ok, "value": round(value, 3), "unit": unit, "note": note}


if __name__ == "__main__":
    asyncio.run(rows())
