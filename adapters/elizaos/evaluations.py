"""What is true of what an agent did: the evaluators of ElizaOS's scenarios."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from adapters.elizaos.scenario import (
    ContainsAction,
    ConversationLength,
    ExecutionTime,
    Judge,
    OneEvaluation,
    RegexMatch,
    StringContains,
)

Judging: TypeAlias = Callable[[Judge, str], Awaitable[tuple[bool, str]]]
"""A model's word on a response: whether it is as expected, and why."""


@dataclass(frozen=True, slots=True)
class Done:
    """One step as it went: `actions` in the agent's own names, `seconds` of the call, `turns` so far."""

    response: str
    actions: tuple[str, ...] = ()
    seconds: float = 0.0
    turns: int = 1
    error: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """One evaluation, as ElizaOS reports it."""

    evaluator_type: str
    success: bool
    summary: str
    details: dict[str, Any] = field(default_factory=dict[str, Any])


async def evaluate(one: OneEvaluation, done: Done, judging: Judging | None) -> Found:
    """A step that ended with an error fulfils nothing."""
    if done.error:
        return Found(one.type, False, f"the agent failed: {done.error}", {"error": done.error})
    if isinstance(one, Judge):
        assert judging is not None
        ok, why = await judging(one, done.response)
        details: dict[str, Any] = {"prompt": one.prompt, "expected": one.expected}
        return Found(one.type, ok, why, details | ({"not_asked": one.unasked} if one.unasked else {}))
    return _plain(one, done)


def _plain(one: Any, done: Done) -> Found:
    match one:
        case StringContains():
            here = (one.value, done.response) if one.case_sensitive else (one.value.lower(), done.response.lower())
            return _said(one.type, here[0] in here[1], f"the response contains '{one.value}'", expected=one.value)
        case RegexMatch():
            found = re.search(one.pattern, done.response, re.IGNORECASE)
            return _said(one.type, found is not None, f"the response matches '{one.pattern}'", pattern=one.pattern)
        case ContainsAction():
            names = [name for name in done.actions if same(name, one.action)]
            return _said(one.type, bool(names), f"'{one.action}' was done", seen=list(done.actions))
        case ExecutionTime():
            took = done.seconds * 1000
            ok = one.min_duration_ms <= took <= one.max_duration_ms
            what = f"it took from {one.min_duration_ms:g} to {one.max_duration_ms:g} ms"
            return _said(one.type, ok, what, duration_ms=round(took, 1))
        case ConversationLength():
            ok = one.min_turns <= done.turns <= (done.turns if one.max_turns is None else one.max_turns)
            return _said(one.type, ok, "the conversation is as long as it shall be", turns=done.turns)
        case _:
            raise AssertionError(one)


def _said(kind: str, ok: bool, what: str, **details: Any) -> Found:
    return Found(kind, ok, what if ok else f"not so: {what}", details)


def same(name: str, action: str) -> bool:
    """Names are alike without case, "_" and "-"; a tool's public name is also known by what follows its agent."""
    wanted = _bare(action)
    return wanted in (_bare(name), _bare(name.partition("__")[2]))


def _bare(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def judged(found: list[Found], strategy: str) -> bool:
    """Whether the scenario passes."""
    kept = [one.success for one in found]
    return bool(kept) and (any(kept) if strategy == "any_pass" else all(kept))
