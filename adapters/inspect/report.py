"""Figures of a benchmark, and the table of several agents side by side. Pure."""

from collections.abc import Sequence
from math import comb
from typing import Any

from adapters.inspect.session import Bench, Outcome

PASSED = 1.0 - 1e-9


def figures(outcome: Outcome, trials: int) -> dict[str, Any]:
    """One arm. A sample with an error has no reward: it counts as 0 in the mean, and is told beside it."""
    samples = outcome.samples
    tokens = [s["tokens"] for s in samples if s["tokens"] is not None]
    return {
        "agent": outcome.agent, "reward": mean([s["reward"] or 0.0 for s in samples]),
        "pass^k": pass_k(samples, trials), "n": len({s["id"] for s in samples}), "samples": len(samples),
        "errors": sum(1 for s in samples if s["error"]), "calls": sum(s["calls"] for s in samples),
        "turns": sum(s["turns"] for s in samples), "tokens": sum(tokens) if tokens else None,
        "cost": round(sum(s["cost"] for s in samples), 6), "seconds": round(sum(s["seconds"] for s in samples), 3),
        "wall": outcome.seconds,
    }  # fmt: skip


def mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 6) if values else 0.0


def pass_k(samples: Sequence[dict[str, Any]], trials: int) -> list[float]:
    """For k from 1 to `trials`: how likely k trials of a task all pass, by the unbiased estimate, over all tasks."""
    by_task: dict[str, list[bool]] = {}
    for one in samples:
        by_task.setdefault(one["id"], []).append((one["reward"] or 0.0) >= PASSED)
    return [
        mean([comb(sum(done), k) / comb(len(done), k) for done in by_task.values() if len(done) >= k])
        for k in range(1, trials + 1)
    ]


def document(
    bench: Bench, about: dict[str, Any], arms: Sequence[Outcome], baselines: dict[str, Outcome]
) -> dict[str, Any]:
    """The whole report. `baselines`: floor and ceiling, by these names."""
    rows = [figures(arm, bench.trials) for arm in arms]
    sides = {name: figures(one, bench.trials) for name, one in baselines.items()}
    versions = next((one.versions for one in (*arms, *baselines.values())), {})
    return {
        **about, "task": bench.task, "n": max((row["n"] for row in (*rows, *sides.values())), default=0),
        "trials": bench.trials, "seed": bench.seed, "shuffle": bench.shuffle, "versions": versions,
        "floor": sides["floor"]["reward"] if "floor" in sides else None,
        "ceiling": sides["ceiling"]["reward"] if "ceiling" in sides else None,
        "rows": rows, "baselines": sides,
        "samples": {one.agent: one.samples for one in (*arms, *baselines.values())},
    }  # fmt: skip


HEAD = ("agent", "reward", "pass^k", "n", "errors", "calls", "turns", "tokens", "cost", "seconds")


def table(said: dict[str, Any]) -> list[str]:
    """Lines: what was run, and a row for each agent, with floor and ceiling."""
    known = ", ".join(f"{name} {number}" for name, number in said["versions"].items())
    about = f"{said['benchmark']}: {said['n']} tasks, {said['trials']} trials, seed {said['seed']}"
    lines = [about, f"user: {said['user']} · judge: {said['judge']} · {known}", ""]
    rows = [list(HEAD), *(_row(one) for one in said["rows"])]
    rows += [_row({**one, "agent": f"{name} ({one['agent']})"}) for name, one in said["baselines"].items()]
    widths = [max(len(row[place]) for row in rows) for place in range(len(HEAD))]
    lines += ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return lines


def _row(one: dict[str, Any]) -> list[str]:
    passes = " ".join(f"{value:.3f}" for value in one["pass^k"])
    tokens = "-" if one["tokens"] is None else str(one["tokens"])
    rest = [one["n"], one["errors"], one["calls"], one["turns"], tokens, one["cost"], f"{one['seconds']:.1f}"]
    return [one["agent"], f"{one['reward']:.3f}", passes, *map(str, rest)]
