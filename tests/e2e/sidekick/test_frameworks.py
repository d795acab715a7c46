"""Every framework, and the workflow, at the same tasks: run, streamed, cut short, killed, limited, failed."""

import asyncio
import os
import signal
import time
from typing import Any

import pytest
from mcp import Client

from adapters.errors import ConnectFailed, TimedOut
from adapters.spi import Call, Caller, Part, Progress, Result, Text, Upstream
from gateway.calls import Running
from tests.e2e.sidekick.conftest import MODEL_KEY, TASK, Room
from tests.e2e.sidekick.rooms import AGENTS, VENVS, One

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
every = pytest.mark.parametrize("one", AGENTS, ids=lambda one: one.name)
LOOP = '!loop words__count {"text": "x"}'


def long(one: One) -> str:
    """A task of many tools: a plan has them all from the start."""
    return "\n".join([TASK] * 500) if one.keeps else LOOP


def seen(result: Result) -> dict[str, Any]:
    assert isinstance(result.structured, dict)
    return result.structured


@every
async def test_the_same_task_from_an_mcp_client(room: Room, one: One) -> None:
    steps: list[str] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        steps.append(message or "")

    async with Client(room.url + "/mcp/all", mode="auto") as client:
        given = {"message": TASK, "context": {"facts": ["it rains"]}}
        result = await client.call_tool(f"{one.name}__ask", given, progress_callback=on_progress)
    text = getattr(result.content[0], "text", "")
    assert not result.is_error
    assert text.startswith("The answer is")
    assert '"words": 4' in text
    assert result.structured_content == {
        "status": "completed", "response": text, "toolsUsed": ["words__count"], "toolCalls": 1, "stopReason": "done",
        "framework": one.framework.name, "benchmarkScore": None,
    }  # fmt: skip
    assert "calls words__count" in steps
    assert "words__count answered" in steps
    assert any(step.startswith("step ") for step in steps)


@every
async def test_its_tokens_are_those_that_the_model_counted(room: Room, one: One) -> None:
    await room.quiet(one.framework.name)
    before = room.model.requests
    result = await room.result(room.call(f"{one.name}__ask", TASK))
    asked = room.model.requests - before
    assert asked >= 2
    whole = {"prompt_tokens": 10 * asked, "completion_tokens": 5 * asked, "total_tokens": 15 * asked}
    assert result.meta == {"usage": whole}


@every
async def test_it_streams_what_the_model_writes(room: Room, one: One) -> None:
    events = await room.events(room.call(f"{one.name}__ask", f"{TASK}\n!slow 0.06"))
    parts = [e.content.text for e in events if isinstance(e, Part) and isinstance(e.content, Text)]
    last = events[-1]
    assert isinstance(last, Result)
    assert len(parts) > 1, "as it is written, and not at the end"
    assert "".join(parts).strip() == last.text.strip()
    done = [e.done for e in events if isinstance(e, Progress) and e.done is not None]
    assert done == sorted(done)


@every
async def test_nothing_is_asked_of_the_model_after_a_cancel(room: Room, one: One) -> None:
    call = room.call(f"{one.name}__ask", f"{long(one)}\n!slow 0.02", arguments={"iterations": 500})
    task = asyncio.create_task(room.events(call))

    def made() -> list[Running]:
        return [r for r in room.box.gateway.calls._by_id.values() if r.call.parent == call.id]

    await room.until(lambda: len(made()) >= 2, "tools are called")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await room.quiet(one.framework.name)
    asked, called = room.model.requests, len(made())
    other = await room.result(room.call("sidekick__analyze", TASK))
    assert other.text.startswith("The answer is")
    assert room.model.requests == asked + 2, "only the other run's"
    assert len(made()) == called


@every
async def test_the_deadline_ends_a_run(room: Room, one: One) -> None:
    await room.result(room.call(f"{one.name}__ask", "warm up"))
    call = room.call(f"{one.name}__ask", f"{TASK}\n!slow 1", deadline=time.time() + 0.5)
    assert isinstance((await room.fault(call)).error, TimedOut)
    await room.quiet(one.framework.name)
    asked = room.model.requests
    await room.result(room.call("sidekick__analyze", "still here"))
    assert room.model.requests == asked + 1


@every
async def test_a_child_that_is_killed_is_said_or_gone_on_from(room: Room, one: One) -> None:
    await room.result(room.call(f"{one.name}__ask", "warm up"))
    asked = room.model.requests
    call = room.call(f"{one.name}__ask", f"{TASK}\n!slow 0.1")
    task = asyncio.create_task(room.events(call))
    await room.until(lambda: room.model.requests == asked + 2, "the tool was called, and the answer is written")
    (child,) = [c for c in room.children(one.framework.name) if c.busy]
    os.kill(child.pid, signal.SIGKILL)
    last = (await task)[-1]
    if one.keeps:
        assert isinstance(last, Result)
        assert last.text.startswith("The answer is")
        assert seen(last)["toolCalls"] == 1, "the checkpoint has it"
        assert room.model.requests == asked + 3, "the plan too"
    else:
        assert not isinstance(last, Result)
        error: Any = getattr(last, "error", None)
        assert isinstance(error, ConnectFailed)
        assert "was killed (SIGKILL)" in error.public
        assert error.delivered == "unknown"
    assert (await room.result(room.call(f"{one.name}__ask", TASK))).text.startswith("The answer is")


@every
async def test_a_limit_is_the_same_reason_for_all(room: Room, one: One) -> None:
    result = await room.result(room.call(f"{one.name}__ask", long(one), arguments={"iterations": 3}))
    assert (seen(result)["status"], seen(result)["stopReason"]) == ("limited", "max_iterations")
    assert 1 <= seen(result)["toolCalls"] <= 4


@every
async def test_no_more_tools_are_called_than_the_operator_says(room: Room, one: One) -> None:
    options = {**room.options, "tool_calls": 2, "frameworks": [one.framework.name]}
    await room.box.add(Upstream("few", "sidekick", room.model.url, MODEL_KEY, options=options))
    (tool,) = [t.name for t in room.box.tools("few") if t.address.native == one.name]
    try:
        asked = room.model.requests
        result = await room.result(room.call(tool, long(one), arguments={"iterations": 100}))
        assert seen(result)["stopReason"] == "max_tool_calls"
        assert seen(result)["toolCalls"] == 2
        assert room.model.requests <= asked + 3
    finally:
        await room.box.remove("few")


@every
async def test_a_model_that_fails_is_a_plain_sentence_without_the_key(room: Room, one: One) -> None:
    said = (await room.fault(room.call(f"{one.name}__ask", "!500"))).error
    assert said.code == "refused"
    assert said.public.startswith(f"'{one.framework.name}' failed at this task")
    assert MODEL_KEY not in said.public + said.detail
    assert room.model.keys == {MODEL_KEY}


@every
async def test_a_tool_that_fails_is_told_to_the_model(room: Room, one: One) -> None:
    use = '!use all__fail {"kind": "refused"}'
    result = await room.result(room.call(f"{one.name}__ask", use, arguments={"iterations": 20}))
    assert "Error: the far side failed with 'refused'" in result.text
    assert seen(result)["toolsUsed"] == ["all__fail"]


@every
async def test_only_what_both_may_is_offered_and_called(room: Room, one: One) -> None:
    narrow = Caller("narrow", network="test", allow=(f"{one.name}__ask", "words__spell", "all__echo"))
    before = room.model.requests
    result = await room.result(room.call(f"{one.name}__ask", "hello", caller=narrow))
    said = str(room.model.bodies[before - room.model.requests :]).lower().replace("__", "_")  # as some write names
    for name, offered in {"words__spell": True, "all__echo": True, "words__count": False, "all__add": False}.items():
        assert (name.replace("__", "_") in said) == offered
    assert result.text == "You said: hello"
    denied = await room.result(room.call(f"{one.name}__ask", TASK, caller=narrow))
    assert "words__count" not in seen(denied)["toolsUsed"]


@every
async def test_what_was_said_before_is_known(room: Room, one: One) -> None:
    for text in ("my name is Freddy", "who am I"):
        await room.result(room.call(f"{one.name}__ask", text, conversation="talk"))
    assert "my name is Freddy" in str(room.model.bodies[-1])
    await room.result(room.call(f"{one.name}__ask", "who am I", conversation="talk", caller=Caller("other")))
    assert "Freddy" not in str(room.model.bodies[-1])


@every
async def test_one_that_calls_itself_is_cut(room: Room, one: One) -> None:
    tool = f"{one.name}__ask"
    given = {"tools": [tool], "iterations": 20}
    result = await room.result(room.call(tool, f'!use {tool} {{"message": "again"}}', arguments=given))
    assert f"the chain of calls came back to where it was: {tool} -> {tool}" in result.text


async def test_calls_are_chained_and_on_record(room: Room) -> None:
    call = room.call("sidekick__analyze", TASK, id="chained", caller=Caller("ann", network="test"))
    await room.result(call)
    inner = [r.call for r in room.box.gateway.calls._by_id.values() if r.call.parent == "chained"]
    assert [hop.tool for hop in inner[0].hops] == ["sidekick__analyze", "words__count"]
    assert [caller.id for caller in inner[0].caller.chain()] == ["ann/sidekick", "ann"]


@pytest.mark.parametrize("word", [w for one in AGENTS for w in (one.framework.name, *one.framework.aliases)])
async def test_a_framework_is_taken_by_its_name(room: Room, word: str) -> None:
    call = room.call("sidekick__analyze", TASK, arguments={"framework": word})
    found = seen(await room.result(call))["framework"]
    (one,) = {one.framework.name for one in AGENTS if word in (one.framework.name, *one.framework.aliases)}
    assert found == one


async def test_all_at_once(room: Room) -> None:
    """Each answer belongs to its question."""
    calls: list[Call] = []
    for number in range(24):
        one = AGENTS[number % len(AGENTS)]
        task = f'!use all__echo {{"text": "number {number}"}}'
        calls.append(room.call(f"{one.name}__ask", task, id=f"many{number}"))
    results = await asyncio.gather(*(room.result(call) for call in calls))
    assert [r.text for r in results] == [f"The answer is number {number}." for number in range(24)]


def test_environments_are_compiled_and_private(room: Room) -> None:
    for one in {a.framework.name: a.framework for a in AGENTS}.values():
        venv = room.outbound()._venvs.of(one)
        assert VENVS in venv.folder.parents
        packages = next(venv.folder.glob("lib/python*/site-packages"))
        assert any(packages.glob("*/__pycache__/*.pyc"))
        assert not (packages / "gateway").exists()
