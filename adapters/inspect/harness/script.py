"""What the scripted user says: the task's own solution, in words that scripted models obey."""

import json
import re
from collections.abc import Iterable
from typing import Any

HELP = "I need help with my request."
MUTE = f"{HELP}\n!say I do nothing."
"""To scripted models, which else say again what they were told: the policy, with what some tasks want to hear."""
STOP = "###STOP###"
USE = re.compile(r"^!use (\S+) (\{.*\})$", re.MULTILINE)
SAY = re.compile(r"^!say (.*)$", re.MULTILINE)


class Script:
    """`uses`: tools with their arguments, by the harness's own names; `say`: the answer in the end."""

    def __init__(self, uses: list[tuple[str, dict[str, Any]]], say: str) -> None:
        self.uses = uses
        self.say = say

    @classmethod
    def read(cls, text: str) -> "Script":
        uses = [(name, json.loads(arguments)) for name, arguments in USE.findall(text)]
        found = SAY.search(text)
        return cls(uses, found[1] if found else "")

    @staticmethod
    def steps(metadata: dict[str, Any]) -> "list[str | tuple[str, dict[str, Any]]]":
        """The user's part of the solution: messages with what the agent shall do, and tools that the user calls."""
        criteria = (metadata.get("task") or {}).get("evaluation_criteria") or {}
        steps: list[str | tuple[str, dict[str, Any]]] = []
        lines: list[str] = []
        for action in criteria.get("actions") or []:
            if action["requestor"] == "user":
                steps += [*_message(lines), (action["name"], action["arguments"])]
                lines = []
            else:
                lines.append(f"!use {action['name']} {json.dumps(action['arguments'])}")
        told = ", ".join(str(one) for one in criteria.get("communicate_info") or [])
        return [*steps, *_message([*lines, f"!say {told or 'It is done.'}"], end=True)]


def named(text: str, names: dict[str, str]) -> str:
    """The script by the names that the tools have in the gateway."""
    return USE.sub(lambda found: f"!use {names.get(known(found[1], names), found[1])} {found[2]}", text)


def known(name: str, names: Iterable[str]) -> str:
    """A tool of a solution by the harness's own name: some domains put theirs before it ("banking_…"), as the
    evaluator allows."""
    return name if name in names else next((one for one in names if one.endswith(f"_{name}")), name)


def _message(lines: list[str], *, end: bool = False) -> list[str]:
    if not lines:
        return []
    return ["\n".join(["Please do this:", *lines, *([] if end else ["!say Done so far."])])]
