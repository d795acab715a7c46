"""Providers and evaluators: Python functions of the operator's, and those that every character has.

Loading one runs its module, in the gateway's own process and with all that it may do: they come from the operator's
file alone, and from the configured folders alone.
"""

import asyncio
import inspect
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Any

from adapters.character.memory import Person
from adapters.character.persona import Persona
from adapters.errors import BadArguments

SLOW = 30.0
"""Seconds that an evaluator may take: nobody waits for it."""
SHORT = 8000
"""Characters of what one provider tells."""
TELLS = re.compile(
    r"(?i)\b(?:my|our) [\w ]{1,40} (?:is|are|was|were|has|have|lives?|likes?)\b|\bi(?:'m| am| was| like| love| hate"
    r"| prefer| live| work| have| need| want| play| speak| study| come)\b|\bcall me\b|\bremember that\b"
)
"""What people say of themselves, in English: sentences that are kept as facts."""
NAMED = re.compile(r"(?i:\bmy name is|\bcall me|\bi am called) +([A-Z][\w'-]{0,40}(?: [A-Z][\w'-]{0,40})?)")


@dataclass(frozen=True, slots=True)
class Turn:
    """What a function is given: a message, and after the turn its answer. Evaluators may `person.learn(fact, room)`."""

    character: Persona
    person: Person
    room: str
    message: str
    answer: str = ""


Function = Callable[[Turn], Any]


class Functions:
    """Those of one character. Raises `BadArguments` that says which cannot be loaded."""

    def __init__(
        self, providers: Sequence[str], evaluators: Sequence[str], paths: Sequence[str], patience: float
    ) -> None:
        self._providers = {name: loaded(name, paths) for name in providers}
        self._evaluators = {name: loaded(name, paths) for name in evaluators}
        self._patience = patience

    async def provide(self, turn: Turn, log: Any) -> list[str]:
        """What the providers tell. One that fails, or is late, tells nothing; the log says so."""
        told = await asyncio.gather(
            *(self._one(name, one, turn, self._patience, log) for name, one in self._providers.items())
        )
        return [str(text)[:SHORT] for text in told if text]

    async def evaluate(self, turn: Turn, log: Any) -> bool:
        """After a turn: what the evaluators found to be kept. Whether there are any."""
        for name, one in self._evaluators.items():
            found = await self._one(name, one, turn, SLOW, log)
            for fact in [found] if isinstance(found, str) else found or ():
                turn.person.learn(str(fact), turn.room)
        return bool(self._evaluators)

    async def _one(self, name: str, function: Function, turn: Turn, seconds: float, log: Any) -> Any:
        try:
            async with asyncio.timeout(seconds):
                if inspect.iscoroutinefunction(function):
                    return await function(turn)
                return await asyncio.to_thread(function, turn)
        except TimeoutError:
            log.warning("a function of a character is late", function=name, seconds=seconds)
        except Exception:
            log.exception("a function of a character failed", function=name)
        return None


def relate(turn: Turn) -> None:
    """The evaluator that every character has: the person's name, what they tell of themselves, of what they speak."""
    person, message = turn.person, turn.message
    if named := NAMED.search(message):
        person.name, person.named_in = named[1], turn.room
    for sentence in re.split(r"(?<=[.!?])\s+|\n+", message):
        if len(sentence) <= 300 and not sentence.endswith("?") and TELLS.search(sentence):
            person.learn(sentence, turn.room)
    lowered = message.lower()
    for topic in turn.character.topics:
        if topic.lower() in lowered:
            person.topics[topic] = person.topics.get(topic, 0) + 1


def loaded(name: str, paths: Sequence[str]) -> Function:
    """The function "module:function", its module found in one of the paths. Raises `BadArguments`."""
    module, _, attribute = name.partition(":")
    if not re.fullmatch(r"\w+(\.\w+)*", module) or not attribute.isidentifier():
        raise BadArguments(f"a function is written 'module:function', not '{name[:80]}'")
    for root in map(Path, paths):
        file = (root / Path(*module.split("."))).with_suffix(".py").resolve()
        if file.is_file() and file.is_relative_to(root.resolve()):
            return _function(file, attribute, name)
    raise BadArguments(f"there is no module '{module}' in {', '.join(paths)}")


def _function(file: Path, attribute: str, name: str) -> Function:
    key = f"doolittle_character_{'_'.join(file.parts[1:]).replace('.', '_')}"
    spec = util.spec_from_file_location(key, file)
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    sys.modules[key] = module
    try:
        spec.loader.exec_module(module)
    except Exception as fault:
        raise BadArguments(f"'{name}' cannot be loaded: {type(fault).__name__}: {fault}") from fault
    found = getattr(module, attribute, None)
    if not callable(found):
        raise BadArguments(f"{file} has no function '{attribute}'")
    return found
