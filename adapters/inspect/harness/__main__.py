"""The child: `python -I __main__.py`. Runs one benchmark in the harness's own environment.

JSON lines. In: orders, one after the other, and `{"listed": …}` each time the session's tools stand in the gateway.
Out: `hello`, `tools`, `end`. It ends when its input does. Tools that the agent under test calls come by HTTP on
loopback, from the gateway; each is parked here, handed to the harness as the model's own tool call, carried out there,
and then answered.
"""

import asyncio
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

sys.path.insert(0, str(Path(__file__).resolve().parent))

from door import Door
from inspect_ai import eval_async
from inspect_ai.hooks import Hooks, SampleEnd, hooks
from inspect_ai.model import Model, get_model, modelapi
from inspect_ai.util._store import suspend_store_events
from lines import Lines
from models import Agent, OpenAIUser, Replay, ScriptedUser
from outcome import row

USERS = {"openai": OpenAIUser, "scripted": ScriptedUser}


def task(order: dict[str, Any]) -> Any:
    """The benchmark: a task function of inspect-evals, by "module:function"."""
    from importlib import import_module

    module, _, name = order["task"].partition(":")
    return getattr(import_module(module), name)(**order.get("task_args", {}))


def whole(kind: str, api: Any) -> Model:
    """A model of the harness's own kind around what answers."""
    modelapi(name=kind)(lambda: lambda *_words, **_named: api)
    return get_model(f"{kind}/{api.model_name}", memoize=False)


@hooks(name="rows", description="Keeps what came of each sample")
class Rows(Hooks):
    """Samples come here whole; the harness's own log would spend most of the time on changes of the databases."""

    ended: ClassVar[list[Any]] = []

    async def on_sample_end(self, data: SampleEnd) -> None:
        self.ended.append(data.sample)


async def run(order: dict[str, Any], lines: Lines) -> None:
    """Says `tools` when they change, and `end` with a row for each sample."""
    Rows.ended.clear()
    async with Door(order["control"]).open() as door:
        agent = Agent(order, lines, door) if order["agent"] else Replay(order["words"])
        user = USERS[order["user"]["kind"]](order, agent)
        began = time.monotonic()
        with suspend_store_events():
            (log,) = await eval_async(
                task(order), model=whole("gateway", agent), model_roles={"user": whole("user", user)},
                limit=order["limit"] or None, epochs=order["trials"], max_samples=1, log_dir=order["log_dir"],
                log_samples=False, score_display=False, fail_on_error=False, log_realtime=False, seed=order["seed"],
                sample_shuffle=order["seed"] if order["shuffle"] else None, log_level="error",
                time_limit=order["time_limit"] or None,
            )  # fmt: skip
        await agent.aclose()
        rows = [row(sample, agent, user) for sample in Rows.ended]
        lines.say(
            {"type": "end", "status": log.status, "error": log.error.message if log.error else "", "samples": rows,
             "seconds": round(time.monotonic() - began, 3), "task": log.eval.task,
             "versions": {name: version(name) for name in ("inspect-ai", "inspect-evals")}}
        )  # fmt: skip


async def main() -> None:
    for name, value in {"INSPECT_DISPLAY": "none", "INSPECT_TELEMETRY": "", "HF_HUB_OFFLINE": "1"}.items():
        os.environ[name] = value
    lines = await Lines.of_this_process()
    lines.say({"type": "hello", "pid": os.getpid()})
    gone = asyncio.ensure_future(lines.gone.wait())
    while True:
        order = asyncio.ensure_future(lines.read())
        await asyncio.wait({order, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not order.done():
            return
        work = asyncio.ensure_future(run(order.result(), lines))
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            os._exit(0)  # the harness would end its samples first
        if (fault := work.exception()) is not None:
            lines.say({"type": "end", "status": "error", "error": f"{type(fault).__name__}: {fault}", "samples": []})


if __name__ == "__main__":
    asyncio.run(main())
