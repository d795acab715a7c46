"""What came of one sample, as a row."""

from typing import Any

VALUES = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0}


def told(name: str, value: Any) -> list[tuple[str, Any]]:
    """A scorer's numbers, by name: one, or several of its own."""
    several = value if isinstance(value, dict) else {name: value}
    return [(str(key), VALUES.get(one, one) if isinstance(one, str) else one) for key, one in several.items()]


def row(sample: Any, agent: Any, user: Any) -> dict[str, Any]:
    """What counts is the least of its scores. A fault of the agent, of the user's model, of the harness or of the
    evaluator is an error, and has no reward."""
    name = f"{sample.id}/{sample.epoch}"
    talk = agent.talks.get(name)
    faults = [*agent.faults.get(name, ()), *user.faults.get(name, ())]
    faults += [sample.error.message] if sample.error else []
    scores = sample.scores or {}
    values = dict(pair for name, score in scores.items() for pair in told(name, score.value))
    if not values and not faults:
        faults.append("it was not scored")
    if not faults and not all(isinstance(value, int | float) for value in values.values()):
        faults.append(f"scores that are no numbers: {values}")
    return {
        "id": str(sample.id), "epoch": sample.epoch, "error": "; ".join(faults),
        "reward": None if faults else float(min(values.values())), "scores": {} if faults else values,
        "why": " ".join(str(s.explanation or "") for s in scores.values())[:2000],
        "calls": talk.calls if talk else 0, "turns": talk.turns if talk else 0,
        "tokens_in": sum(n for n, _ in talk.tokens) if talk and talk.tokens else None,
        "tokens_out": sum(n for _, n in talk.tokens) if talk and talk.tokens else None,
        "untold": talk.untold if talk else 0, "paid": {asset: str(n) for asset, n in talk.paid.items()} if talk else {},
        "seconds": round(talk.seconds, 3) if talk else 0.0,
        "limit": sample.limit.type if sample.limit else "",
    }  # fmt: skip
