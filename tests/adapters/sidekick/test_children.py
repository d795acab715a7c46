"""Children: what they get, what they may, how they are held back, watched, and ended."""

import asyncio
import json
import os
import signal
import sys
import textwrap
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from adapters.errors import Broken, ConnectFailed
from adapters.fake.world import World
from adapters.sidekick import child as children
from adapters.sidekick import pool as pools
from adapters.sidekick.child import INHERITED, Child, Starting, Wanted
from adapters.sidekick.frameworks import Framework, known
from adapters.sidekick.testing import SCRIPTED
from adapters.spi import Accepted, Result
from tests.adapters.sidekick.conftest import Scripted
from tests.conftest import ROOT

CANARY = "canary-of-the-gateway"


def alive(pid: int) -> bool:
    with suppress(OSError):
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return False


async def until(holds: Any, what: str) -> None:
    for _ in range(3000):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"never happened: {what}")


async def test_a_child_gets_no_secret(scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY_SECRET", CANARY)
    told = json.loads((await scripted.result("env")).text)
    ours = {"HOME", "SCRIPTED_FOLDER", "LC_CTYPE"}
    assert set(told["env"]) <= {*INHERITED, *ours}
    assert CANARY not in json.dumps(told)
    assert "sk-secret" not in json.dumps(told), "the model's key comes with the run"
    assert told["env"]["HOME"] != os.environ["HOME"]


async def test_faults_are_told_without_the_key(scripted: Scripted) -> None:
    said = await scripted.said("fail now")
    assert said == "refused: 'scripted' failed at this task: ValueError: as it was told, with the key ***"


async def test_tools_are_called_by_the_gateway_and_counted_there(scripted: Scripted, world_of_tools: World) -> None:
    wanted = [["all__echo", {"text": "a"}], ["all__add", {"a": 1, "b": 2}], ["all__echo", {"text": "b"}]]
    wanted += [["all__echo", {}], ["all__nothing", {}]]
    result = await scripted.result(f"call {json.dumps(wanted)}")
    a, total, b, wrong, unknown = result.text.split("; ", 4)
    assert (a, total, b) == ("a", '{"sum":3}', "b")
    assert wrong.startswith("Error: the arguments do not fit 'all__echo'")
    assert unknown.startswith("Error: no tool is called 'all__nothing'")
    assert isinstance(result.structured, dict)
    assert result.structured["toolsUsed"] == ["all__echo", "all__add", "all__nothing"]
    assert result.structured["toolCalls"] == 5
    assert world_of_tools.seen["deliver"] == 3


async def test_what_is_not_offered_is_not_called(scripted: Scripted, world_of_tools: World) -> None:
    task = f"call {json.dumps([['all__echo', {'text': 'a'}]])}"
    result = await scripted.result(task, arguments={"tools": ["all__add"]})
    assert result.text == "Error: 'all__echo' is not offered here."
    assert world_of_tools.seen["deliver"] == 0
    told = json.loads((await scripted.result("env", arguments={"tools": ["all__a*"]})).text)
    assert told["tools"] == ["all__add", "all__ask"]


async def test_of_many_tools_those_are_offered_that_fit(scripted: Scripted, world_of_tools: World) -> None:
    await scripted.again(most_tools=3)
    tools = json.loads((await scripted.result("env and it shall count to n")).text)["tools"]
    assert len(tools) == 3
    assert "all__count" in tools


async def test_a_token_of_another_run_calls_nothing(scripted: Scripted, world_of_tools: World) -> None:
    """What a child says with a token that is none is refused, and the run goes on."""
    await scripted.result("say warm")
    (child,) = scripted.pool.children
    child._tool({"id": "t1", "params": {"token": "made-up", "name": "all__echo", "arguments": {"text": "x"}}})
    assert await scripted.result("say still here")
    assert world_of_tools.seen["deliver"] == 0


# ---- held back --------------------------------------------------------------------------------------------------


async def test_a_run_waits_while_nobody_reads_its_events(scripted: Scripted) -> None:
    await scripted.result("say warm")
    order = await _order(scripted, "flood")
    (child,) = scripted.pool.children
    run = child.run(order, _no_tools)
    first = await anext(run)
    flooded = scripted.far.folder / "flood"

    def count() -> int:
        return int(flooded.read_text() or 0) if flooded.exists() else 0

    await until(lambda: count() >= 60, "the window is full")
    for _ in range(3):
        assert await child.ping(), "the child itself is well"
    assert count() <= 64, "it waits"
    assert first["type"] == "started"
    for _ in range(200):
        await anext(run)
    await until(lambda: count() >= 200, "it goes on when it is read")
    await run.aclose()
    await until(lambda: not child.stopping, "the run stops")


async def _order(scripted: Scripted, task: str) -> Any:
    from adapters.sidekick.work import Terms, Work

    call, tool = scripted.call(task), scripted.box.tools("helpers")[0]
    who = scripted.outbound._who["talker"][0]
    work = Work(who, Terms("x", ("*",), 1, ""), scripted.outbound._host.within(call, tool))
    return await scripted.outbound._order(work, call, tool, False)


async def _no_tools(wanted: Wanted) -> dict[str, Any]:
    return {"text": "", "ok": True}


async def test_more_runs_than_places_wait_and_too_many_are_refused(
    scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scripted.again(children=1, runs=2)
    results = await asyncio.gather(*(scripted.result(f"say {n}") for n in range(10)))
    assert [r.text for r in results] == [str(n) for n in range(10)]
    assert len(scripted.pool.children) == 1
    monkeypatch.setattr(pools, "WAITING", 1)
    hanging = [asyncio.create_task(scripted.last(scripted.call("hang on"))) for _ in range(3)]
    await until(lambda: scripted.pool._waiting, "one waits")
    assert (await scripted.said("say too many")).startswith("full: 1 runs of 'scripted' wait")
    for task in hanging:
        task.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)
    assert (await scripted.result("say after")).text == "after"


# ---- limits -----------------------------------------------------------------------------------------------------


async def test_address_space_is_limited(scripted: Scripted) -> None:
    said = await scripted.said("eat 5000")
    assert said == "refused: the run took more memory than a runner of 'scripted' may have"
    assert (await scripted.result("say after")).text == "after"


async def test_memory_in_use_is_limited(scripted: Scripted) -> None:
    await scripted.again(memory=200)
    task = asyncio.create_task(scripted.said("eat 300"))
    await until(lambda: ("scripted", "") in scripted.outbound._pools, "it starts")
    await until(lambda: any(c.rss > 250 for c in scripted.pool.children), "it eats")
    await scripted.pool.look()
    assert "was ended: it took more than 200 MB of memory" in await task
    assert (await scripted.result("say after")).text == "after"


async def test_a_run_that_does_not_stop_costs_its_child(scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "GRACE", 0.3)
    other = asyncio.create_task(scripted.said("hang on"))
    await until(lambda: scripted.far.running() == 1, "another run is there")
    blocked = asyncio.create_task(scripted.last(scripted.call("block it")))
    await until(lambda: scripted.far.running() == 2, "the loop is blocked")
    (child,) = scripted.pool.children
    blocked.cancel()
    assert "a cancelled run went on for 0.3 seconds" in await other
    await until(lambda: not alive(child.pid), "the child is gone")
    assert (await scripted.result("say after")).text == "after"


async def test_a_child_that_does_not_answer_is_replaced(scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "PING", 0.3)
    await scripted.result("say warm")
    (child,) = scripted.pool.children
    await scripted.pool.look()
    assert child.alive, "it is well"
    os.kill(child.pid, signal.SIGSTOP)
    await scripted.pool.look()
    assert child.why == "it did not answer"
    await until(lambda: not alive(child.pid), "the child is gone")
    assert (await scripted.result("say after")).text == "after"


async def test_one_that_is_idle_ends(scripted: Scripted) -> None:
    await scripted.again(idle=0.001)
    await scripted.result("say warm")
    (child,) = scripted.pool.children
    await asyncio.sleep(0.01)
    await scripted.pool.look()
    assert not alive(child.pid)
    assert not scripted.pool.children


async def test_those_that_are_wanted_warm_start_with_the_gateway(scripted: Scripted) -> None:
    await scripted.again(warm=["scripted"])
    await until(lambda: scripted.outbound._pools and scripted.pool.children, "it is warm")
    (child,) = scripted.pool.children
    assert (await scripted.result("say warm")).text == "warm"
    assert scripted.pool.children == [child]


async def test_children_end_with_the_gateway_however_it_ends(tmp_path: Path) -> None:
    program = f"""
        import asyncio, sys
        from pathlib import Path
        from adapters.sidekick.child import Child, Starting
        async def main():
            child = Child(Starting("x", Path(sys.executable), Path({str(SCRIPTED / "backends" / "scripted.py")!r}),
                Path({str(tmp_path)!r}), 0, True), None)
            await child.open()
            print(child.pid, flush=True)
            await asyncio.Event().wait()
        asyncio.run(main())
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", textwrap.dedent(program), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    pid = int(await process.stdout.readline())
    assert alive(pid)
    process.kill()
    await process.wait()
    await until(lambda: not alive(pid), "the child ends")


async def test_a_hundred_runs_leave_nothing(scripted: Scripted, world_of_tools: World) -> None:
    task = f"call {json.dumps([['all__echo', {'text': 'a'}]])}"

    def held() -> tuple[int, int, int]:
        (child,) = scripted.pool.children
        files = len(os.listdir("/proc/self/fd")) + len(os.listdir(f"/proc/{child.pid}/fd"))
        return files, len(asyncio.all_tasks()), len(child._runs) + len(child._tasks) + len(scripted.outbound._held)

    for _ in range(5):
        await scripted.result(task)
    (child,) = scripted.pool.children
    before, rss = held(), child.rss
    for _ in range(100):
        await scripted.result(task)
    assert held() <= before
    assert scripted.pool.children == [child]
    assert child.rss < rss + 5


# ---- what goes wrong --------------------------------------------------------------------------------------------


async def test_a_call_to_a_tool_survives_the_child_and_is_not_made_again(
    scripted: Scripted, world_of_tools: World
) -> None:
    """The child dies while its tool is called; the next one gets that answer."""
    wanted = json.dumps({"tool": "all__echo", "arguments": {"text": "once", "delay": 0.5}})
    call = scripted.call(f"job {wanted}", "keeper__ask")
    events = [event async for event in scripted.box.invoke(call)]
    last = events[-1]
    assert isinstance(last, Result)
    assert last.text == "once"
    assert any(isinstance(event, Accepted) for event in events)
    assert world_of_tools.seen["deliver"] == 1
    assert isinstance(last.structured, dict)
    assert last.structured["toolCalls"] == 1
    assert not list(scripted.outbound._threads.glob("*")), "steps of a run that ended are forgotten"


async def test_a_score_is_believed_only_where_the_operator_says_so(scripted: Scripted, tmp_path: Path) -> None:
    own = {"framework": "scripted", "load": "x:y", "folder": str(tmp_path)}
    agents = {"plain": own, "judged": {**own, "benchmark": True}}
    await scripted.again(agents=agents, paths=[str(tmp_path)])
    for name, score in (("plain", None), ("judged", 0.5)):
        found = (await scripted.result("score 0.5", f"{name}__ask")).structured
        assert isinstance(found, dict)
        assert found["benchmarkScore"] == score
    assert {key for key in scripted.outbound._pools} == {("scripted", "plain"), ("scripted", "judged")}


def starting(tmp_path: Path, backend: str) -> Starting:
    path = tmp_path / "backend.py"
    path.write_text(backend)
    return Starting("odd", Path(sys.executable), path, tmp_path, 0, True)


async def test_a_backend_that_cannot_be_imported_is_said(scripted: Scripted, tmp_path: Path) -> None:
    child = Child(starting(tmp_path, "import nothing_of_that_name"), scripted.outbound._host)
    with pytest.raises(ConnectFailed) as caught:
        await child.open()
    await child.close()
    assert "No module named 'nothing_of_that_name'" in caught.value.public + caught.value.detail
    assert caught.value.delivered == "no"


@pytest.mark.parametrize("line", ["not json", "[]", '{"method": "event"}', '{"id": 1, "result": 5}', "{}"])
async def test_a_child_that_breaks_the_protocol_is_ended(scripted: Scripted, tmp_path: Path, line: str) -> None:
    odd = tmp_path / "odd"
    ready = '{"method": "ready", "params": {}}'
    odd.write_text(f"#!/bin/sh\necho '{ready}'\nread x\necho '{line}'\nsleep 60\n")
    odd.chmod(0o755)
    child = Child(Starting("odd", odd, tmp_path / "x", tmp_path, 0, True), scripted.outbound._host)
    await child.open()
    with pytest.raises(Broken, match="broke the protocol"):
        await anext(child.run({}, _no_tools))
    await child.close()
    assert not alive(child.pid)


async def test_what_is_printed_is_no_word_of_the_protocol(scripted: Scripted, tmp_path: Path) -> None:
    backend = """
        from sidekick_protocol import Final, Step
        import os
        print("at import")
        def versions(): return {}
        async def run(run, call_tool):
            print('{"method": "event"}', flush=True)
            os.system("echo from another process")
            yield Step("one")
            yield Final("fine")
    """
    child = Child(starting(tmp_path, textwrap.dedent(backend)), scripted.outbound._host)
    await child.open()
    order = await _order(scripted, "anything")
    messages = [message async for message in child.run(order, _no_tools)]
    assert messages[-1]["text"] == "fine"
    assert "from another process" in child.tail
    await child.close()


async def test_a_fifth_framework_is_a_table_and_a_file(scripted: Scripted, tmp_path: Path) -> None:
    (tmp_path / "backends").mkdir()
    (tmp_path / "frameworks.toml").write_text(
        '[fifth]\naliases = ["quintus"]\n[fifth.agents.five]\ndescription = "The fifth."\n'
    )
    (tmp_path / "backends" / "fifth.py").write_text(
        "from sidekick_protocol import Final\n"
        "def versions(): return {'fifth': '5'}\n"
        "async def run(run, call_tool): yield Final(f'five times {run.task}')\n"
    )
    assert isinstance(known(str(tmp_path))["fifth"], Framework)
    await scripted.again(more=str(tmp_path), frameworks=["fifth"])
    assert (await scripted.result("one", "five__ask")).text == "five times one"
    assert (await scripted.result("one", arguments={"framework": "quintus"})).text == "five times one"
