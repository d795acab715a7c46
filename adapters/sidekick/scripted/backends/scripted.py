"""Obeys the first word of its task; `WORDS` has them all."""

import asyncio
import json
import os
import signal
import sys
import threading
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

from sidekick_protocol import CallTool, Event, Final, Question, Run, Step, Token, Usage

NAME = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
FOLDER = Path(os.environ.get("SCRIPTED_FOLDER", "."))


def versions() -> dict[str, str]:
    return {"python": sys.version.split()[0]}


async def run(run: Run, call_tool: CallTool) -> AsyncIterator[Event]:
    if not run.again and run.answers is None:
        with (FOLDER / "delivered").open("a") as log:
            log.write(f"{run.id}\n")
    mark = FOLDER / f"running-{os.getpid()}-{uuid.uuid4().hex}"
    mark.touch()
    try:
        word, _, rest = run.task.partition(" ")
        async for event in WORDS[word](run, rest, call_tool):
            yield event
    finally:
        mark.unlink()


async def say(run: Run, rest: str, call_tool: CallTool) -> AsyncIterator[Event]:
    yield Final(rest)


async def count(run: Run, rest: str, call_tool: CallTool) -> AsyncIterator[Event]:
    for number in range(1, int(rest) + 1):
        yield Step(f"{number}")
        yield Token(f"{number} ")
    yield Final(f"counted to {rest}")


async def fail(run: Run, rest: str, call_tool: CallTool) -> AsyncIterator[Event]:
    raise ValueError(f"as it was told, with the key {run.model.key}")
    yield Final("")


async def hang(run: Run, rest: str, call_tool: CallTool) -> AsyncIterator[Event]:
    await asyncio.Event().wait()
    yield Final("")


async def block(run: Run, rest: str, call_tool: CallTool) -> AsyncIterator[Event]:
    """Gives the loop no turn: only the end of the process stops it."""
    threading.Event().wait(600)
    yield Final("")


async def die(run: Run, rest: str, call_tool: CallTool) -> AsyncIterator[Event]:
    os.kill(os.getpid(), signal.SIGKILL)
    yield Final("")


async def nothing(run: Run, rest: str, call_tool: CallTool) -> AsyncIterator[Event]:
    for event in ():
        yield event


async def ask(run: Run, rest: str, call_tool: CallTool) -> AsyncIterator[Event]:
    yield Usage(3, 2)
    if run.answers is None:
        Path(run.checkpoint).write_text("asked")
        yield Question([{"id": "who", "message": "What is your name?", "schema": NAME}])
        return
    yield Final(f"Hello, {(run.answers.get('who') or {}).get('name', 'nobody')}")


async def job(run: Run, rest: str, call_tool: CallTool) -> AsyncIterator[Event]:
    """Calls a tool, and dies at once when it is there; another child goes on."""
    done = Path(run.checkpoint)
    if not run.again:
        done.write_text("begun")
        if rest.startswith("{"):
            asked = json.loads(rest)
            task = asyncio.ensure_future(call_tool(asked["tool"], asked["arguments"], "1"))
            await asyncio.sleep(0.05)
            task.cancel()
        os.kill(os.getpid(), signal.SIGKILL)
    if rest.startswith("{"):
        asked = json.loads(rest)
        yield Final((await call_tool(asked["tool"], asked["arguments"], "1")).text)
        return
    yield Final(f"done: {rest}")


async def big(run: Run, rest: str, call_tool: CallTool) -> AsyncIterator[Event]:
    yield Final("x" * int(rest))


async def talk(run: Run, rest: str, call_tool: CallTool) -> AsyncIterator[Event]:
    said = [one["text"].partition(" ")[2] for one in run.history if one["role"] == "user"]
    yield Final(" ".join([*said, rest]))


async def call(run: Run, rest: str, call_tool: CallTool) -> AsyncIterator[Event]:
    """Calls each tool of a list of `[name, arguments]`, and says what each gave."""
    said: list[str] = []
    for name, arguments in json.loads(rest):
        answer = await call_tool(name, arguments)
        said.append(answer.text)
    yield Final("; ".join(said))


async def eat(run: Run, rest: str, call_tool: CallTool) -> AsyncIterator[Event]:
    """So many megabytes of memory."""
    held = [bytearray(1 << 20) for _ in range(int(rest))]
    yield Step("ate")
    await asyncio.sleep(30)
    yield Final(f"ate {len(held)}")


async def flood(run: Run, rest: str, call_tool: CallTool) -> AsyncIterator[Event]:
    """Steps without end, counted in a file."""
    number = 0
    while True:
        number += 1
        (FOLDER / "flood").write_text(str(number))
        yield Step(f"{number}")


async def env(run: Run, rest: str, call_tool: CallTool) -> AsyncIterator[Event]:
    yield Final(json.dumps({"env": dict(os.environ), "tools": [tool.name for tool in run.tools]}))


async def who(run: Run, rest: str, call_tool: CallTool) -> AsyncIterator[Event]:
    yield Final(run.instructions)


async def spend(run: Run, rest: str, call_tool: CallTool) -> AsyncIterator[Event]:
    """Two requests of ten tokens and five, and what is told in the end; with a tool, one that may not be called."""
    for _ in range(2):
        yield Usage(10, 5)
        yield Step("thought")
    if rest.startswith("{"):
        asked = json.loads(rest)
        await call_tool(asked["tool"], asked["arguments"])
    yield Usage(0, 0)
    yield Final("spent")


async def score(run: Run, rest: str, call_tool: CallTool) -> AsyncIterator[Event]:
    yield Final("scored", score=float(rest))


SPOKEN = (say, count, fail, hang, block, die, nothing, ask, job, big, talk, call, eat, flood, env, who, spend, score)
WORDS = {one.__name__: one for one in SPOKEN}
