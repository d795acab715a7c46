"""A framework called directly, for `bench/sidekick.py`: in its own environment, by its backend; no runner, no gateway.

`python -I direct.py RUNNER BACKEND AGENT URL CHECKPOINT`. Each line on its input is a task, and one run; each run gives
a line: its milliseconds. With a checkpoint, each run has a file of that name and a number.
"""

import asyncio
import json
import sys
import time
from importlib import util
from typing import Any

RUNNER, BACKEND, AGENT, URL, CHECKPOINT = sys.argv[1:6]
sys.path.insert(0, RUNNER)

from sidekick_protocol import Answer, Final, Model, Run, Source, Tool

SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
TOOLS = [Tool("all__echo", "Says the text again.", SCHEMA)]


async def echo(name: str, arguments: dict[str, Any], key: str = "") -> Answer:
    return Answer(arguments["text"])


async def once(backend: Any, task: str, number: int) -> float:
    began = time.perf_counter()
    kept = f"{CHECKPOINT}{number}" if CHECKPOINT else ""
    run = Run("bench", task, Model("scripted", URL, "none"), Source(AGENT), TOOLS, checkpoint=kept)
    async for event in backend.run(run, echo):
        if isinstance(event, Final):
            assert event.text.startswith("The answer is"), event
    return (time.perf_counter() - began) * 1000


async def main() -> None:
    spec = util.spec_from_file_location("backend", BACKEND)
    assert spec is not None
    assert spec.loader is not None
    backend = util.module_from_spec(spec)
    spec.loader.exec_module(backend)
    out, sys.stdout = sys.stdout, sys.stderr
    number = 0
    while line := await asyncio.to_thread(sys.stdin.readline):
        number += 1
        out.write(json.dumps(await once(backend, json.loads(line), number)) + "\n")
        out.flush()


if __name__ == "__main__":
    asyncio.run(main())
