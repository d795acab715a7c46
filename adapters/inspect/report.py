"""Figures of a benchmark, and the table of several agents side by side. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from math import comb
from typing import Any

from adapters.inspect.session import Bench, Outcome

PASSED = 1.0 - 1e-9


def figures(outcome: Outcome, trials: int, price: Sequence[float] = ()) -> dict[str, Any]:
    """One arm. A sample with an error has no reward: it counts as 0 in the mean, and is told beside it. An arm that was
    not run has no reward either. `price`: of a million tokens of prompts, and of what is written; without it no `cost`.
    `untold`: answers that told no tokens, so that there were more."""
    samples = outcome.samples
    told = [s for s in samples if s["tokens_in"] is not None]
    read, written = sum(s["tokens_in"] for s in told), sum(s["tokens_out"] for s in told)
    cost = round((read * price[0] + written * price[1]) / 1e6, 6) if price and told else None
    return {
        "agent": outcome.agent, "engine": outcome.engine, "fault": outcome.fault or _same(samples),
        "reward": None if outcome.fault else mean([s["reward"] or 0.0 for s in samples]),
        "scores": parts(samples), "pass^k": pass_k(samples, trials),
        "n": len({s["id"] for s in samples}), "samples": len(samples),
        "errors": sum(1 for s in samples if s["error"]), "calls": sum(s["calls"] for s in samples),
        "turns": sum(s["turns"] for s in samples), "tokens_in": read if told else None,
        "tokens_out": written if told else None, "untold": sum(s["untold"] for s in samples), "cost": cost,
        "paid": paid(samples), "seconds": round(sum(s["seconds"] for s in samples), 3), "wall": outcome.seconds,
    }  # fmt: skip


def parts(samples: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The mean of each score, for a task that has several; a sample with an error counts as 0 in each."""
    names = list(dict.fromkeys(name for one in samples for name in one["scores"]))
    found = {name: mean([float(one["scores"].get(name, 0.0)) for one in samples]) for name in names}
    return found if len(found) > 1 else {}


def paid(samples: Sequence[dict[str, Any]]) -> dict[str, str]:
    """What the gateway says that calls cost, by asset."""
    whole: dict[str, Decimal] = {}
    for one in samples:
        for asset, amount in one["paid"].items():
            whole[asset] = whole.get(asset, Decimal(0)) + Decimal(amount)
    return {asset: str(amount) for asset, amount in whole.items()}


def _same(samples: Sequence[dict[str, Any]]) -> str:
    """What went wrong, if the same did in every sample."""
    faults = {s["error"] for s in samples}
    return str(faults.pop()) if len(faults) == 1 else ""


def named(one: Mapping[str, Any]) -> str:
    """What stands before a row."""
    return f"{one['agent']} on {one['engine']}" if one["engine"] else str(one["agent"])


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
    rows = [figures(arm, bench.trials, about.get("price") or ()) for arm in arms]
    sides = {name: figures(one, bench.trials) for name, one in baselines.items()}
    versions = next((one.versions for one in (*arms, *baselines.values())), {})
    return {
        **about, "task": bench.task, "n": max((row["n"] for row in (*rows, *sides.values())), default=0),
        "trials": bench.trials, "seed": bench.seed, "shuffle": bench.shuffle, "versions": versions,
        "floor": sides["floor"]["reward"] if "floor" in sides else None,
        "ceiling": sides["ceiling"]["reward"] if "ceiling" in sides else None,
        "rows": rows, "baselines": sides,
        "samples": {named(asdict(one)): one.samples for one in (*arms, *baselines.values())},
    }  # fmt: skip


HEAD = (
    "agent", "reward", "pass^k", "n", "errors", "calls", "turns", "tokens in", "tokens out", "cost", "paid", "seconds",
)  # fmt: skip


TOLD = ("tokens_in", "tokens_out", "cost")


def table(said: dict[str, Any]) -> list[str]:
    """Lines: what was run, and a row for each agent, with floor and ceiling."""
    known = ", ".join(f"{name} {number}" for name, number in said["versions"].items())
    about = f"{said['benchmark']}: {said['n']} tasks, {said['trials']} trials, seed {said['seed']}"
    lines = [about, f"user: {said['user']} · judge: {said['judge']} · {known}", _money(said), ""]
    rows = [list(HEAD), *(_row(one) for one in said["rows"])]
    rows += [_row({**one, "agent": f"{name} ({one['agent']})"}) for name, one in said["baselines"].items()]
    widths = [max(len(row[place]) for row in rows) for place in range(len(HEAD))]
    lines += ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    several = [(one, ", ".join(f"{k} {v:.3f}" for k, v in one["scores"].items())) for one in said["rows"]]
    lines += [f"{named(one)}: {scores}" for one, scores in several if scores]
    lines += [f"{named(one)}: {one['fault'][:400]}" for one in said["rows"] if one["fault"]]
    return lines


def _money(said: dict[str, Any]) -> str:
    price = said.get("price")
    cost = f"of these tokens at {price[0]:g}/{price[1]:g} a million" if price else "told with --price IN/OUT"
    return f"tokens: of the agent, as its model counted them · cost: {cost} · paid: by the gateway, for calls"


def _number(value: float) -> str:
    """Six decimals at most, and never in powers of ten."""
    return f"{value:.6f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _row(one: dict[str, Any]) -> list[str]:
    passes = " ".join(f"{value:.3f}" for value in one["pass^k"]) if one["reward"] is not None else "-"
    reward = "not run" if one["reward"] is None else f"{one['reward']:.3f}"
    least = ">=" if one["untold"] else ""
    tokens = ["-" if one[key] is None else f"{least}{_number(one[key])}" for key in TOLD]
    money = " + ".join(f"{amount} {asset}" for asset, amount in one["paid"].items()) or "-"
    rest = [one["n"], one["errors"], one["calls"], one["turns"], *tokens, money, f"{one['seconds']:.1f}"]
    return [named(one), reward, passes, *map(str, rest)]
