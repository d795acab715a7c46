"""Whatever an MCP server does as a child process: the call ends once, as what it was, and nothing of it is left."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from adapters.spi import Ask, Error, Progress, Result, Upstream
from tests.adapters.mcp.house import House, children, until

PROGRAM = str(Path(__file__).parent / "child.py")
HANDSHAKE = {"era": "handshake"}
FORM = {"message": "Name?", "requestedSchema": {"type": "object", "properties": {"name": {"type": "string"}}}}


class Kin:
    """The children of one test, as they noted themselves."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "child.log"

    def command(self, *modes: str) -> tuple[str, ...]:
        return (sys.executable, "-I", "-S", PROGRAM, ",".join(modes), str(self._log))

    def lines(self, word: str) -> list[str]:
        said = self._log.read_text().splitlines() if self._log.exists() else []
        return [line for line in said if line == word or line.startswith(f"{word} ")]

    @property
    def last(self) -> int:
        return int(self.lines("start")[-1].split()[1])


@pytest.fixture
def kin(tmp_path: Path) -> Iterator[Kin]:
    yield Kin(tmp_path)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


# ---- beginning ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [("/no/such/program",), ("no-such-program-anywhere",), ("/etc/hostname",), ("/",)])
async def test_what_cannot_be_started(house: House, command: tuple[str, ...]) -> None:
    await house.add(command=command)
    assert "cannot be started" in (house.box.degraded("far") or "")
    report = await house.box.report(Upstream("far", "mcp", command=command))
    assert not report.ok
    assert command[0] in report.text


async def test_a_folder_that_is_not_there(house: House, kin: Kin) -> None:
    await house.add(command=kin.command(), options={"cwd": "/no/such/folder"})
    assert "/no/such/folder" in (house.box.degraded("far") or "")


async def test_who_exits_at_once_says_why_to_the_operator_only(house: House, kin: Kin) -> None:
    """The last lines of its standard error are in the report of a trial, and in no caller's error."""
    await house.add(command=kin.command(), options=HANDSHAKE)
    assert await house.text() == "ok"
    await house.box.remove("far")
    await house.add(command=kin.command("exit"), options=HANDSHAKE)
    assert house.box.degraded("far")
    assert "private" not in (house.box.degraded("far") or "")
    report = await house.box.report(Upstream("far", "mcp", command=kin.command("exit"), options=HANDSHAKE))
    assert not report.ok
    assert "no database at /srv/private" in report.text


async def test_who_hangs_at_the_first_request(tmp_path: Path, kin: Kin) -> None:
    house = House(tmp_path, refresh={"every": 3600, "timeout": 0.5})
    await house.open()
    await house.add(command=kin.command("hang"), options=HANDSHAKE)
    assert "no connection within" in (house.box.degraded("far") or "")
    assert not children() & {kin.last}
    await house.close()
    await house.settled()


async def test_it_gets_a_clean_environment(house: House, kin: Kin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_CANARY", "a-secret-of-ours")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret-of-ours")
    await house.add(command=kin.command(), options={**HANDSHAKE, "env": {"OWN": "theirs", "PATH": "/bin"}})
    found = json.loads(await house.text("env A_CANARY AWS_SECRET_ACCESS_KEY OWN PATH"))
    assert found == {"A_CANARY": None, "AWS_SECRET_ACCESS_KEY": None, "OWN": "theirs", "PATH": "/bin"}
    known = {"PATH", "HOME", "USER", "LANG", "LC_ALL", "TMPDIR", "TZ", "SHELL", "TERM", "NODE_EXTRA_CA_CERTS", "OWN"}
    assert set(json.loads(await house.text("environment"))) - known <= {"LC_CTYPE", "PWD"}


# ---- in the middle -----------------------------------------------------------------------------------------------


async def test_it_is_killed_while_calls_run(house: House, kin: Kin) -> None:
    await house.add(command=kin.command(), options=HANDSHAKE)
    calls = [asyncio.create_task(house.fault("hold")) for _ in range(10)]
    await until(lambda: len(kin.lines("call hold")) == 10, "the calls arrive")
    os.kill(kin.last, signal.SIGKILL)
    for error in await asyncio.gather(*calls):
        assert (error.code, error.delivered) == ("connect_failed", "unknown")
    assert await house.text() == "ok"
    assert len(kin.lines("start")) == 2
    assert len(kin.lines("call hold")) == 10


async def test_it_dies_of_a_call(house: House, kin: Kin) -> None:
    await house.add(command=kin.command(), options=HANDSHAKE)
    for number in range(2, 5):
        error = await house.fault("die")
        assert (error.code, error.delivered) == ("connect_failed", "unknown")
        assert await house.text() == "ok"
        assert len(kin.lines("start")) == number
    assert len(kin.lines("call die")) == 3


async def test_who_always_dies_is_not_started_again_and_again(house: House, kin: Kin) -> None:
    """It lists its tools, and ends."""
    await house.add(command=kin.command("flash"), options=HANDSHAKE)
    await until(lambda: len(kin.lines("start")) >= 2, "it is started again")
    before = len(kin.lines("start"))
    await asyncio.sleep(1)
    assert len(kin.lines("start")) - before <= 2


async def test_calls_while_nobody_is_there_are_delivered_once(house: House, kin: Kin) -> None:
    await house.add(command=kin.command(), options=HANDSHAKE)
    os.kill(kin.last, signal.SIGKILL)
    said = await asyncio.gather(*(house.last(house.call(f"n{n}")) for n in range(20)))
    for number, event in enumerate(said):
        if isinstance(event, Result):
            assert event.text == f"n{number}"
        else:
            assert isinstance(event, Error)
            assert event.error.code == "connect_failed"
        assert len(kin.lines(f"call n{number}")) <= 1
    assert await house.text() == "ok"
    assert len(kin.lines("start")) == 2


async def test_a_pipe_that_broke_is_renewed_once(house: House, kin: Kin) -> None:
    """It closed its input, and lives on."""
    await house.add(command=kin.command(), options=HANDSHAKE)
    assert await house.text("deaf") == "deaf"
    first = kin.last
    said: list[Any] = await asyncio.gather(*(house.last(house.call(f"n{n}")) for n in range(5)))
    assert [getattr(event, "text", event) for event in said] == [f"n{n}" for n in range(5)]
    assert [len(kin.lines(f"call n{n}")) for n in range(5)] == [1] * 5
    assert len(kin.lines("start")) == 2
    assert not alive(first)


async def test_rubbish_on_its_output_is_no_answer(house: House, kin: Kin) -> None:
    await house.add(command=kin.command(), options=HANDSHAKE)
    assert await house.text("rubbish") == "after rubbish"
    assert await house.text("twice") == "first"
    assert await house.text() == "ok"
    assert len(kin.lines("start")) == 1


async def test_a_line_that_is_too_long(house: House, kin: Kin) -> None:
    await house.add(command=kin.command(), options=HANDSHAKE)
    beside = asyncio.create_task(house.fault("hold"))
    await until(lambda: len(kin.lines("call hold")) == 1, "the call arrives")
    error = await house.fault("long")
    assert (error.code, error.delivered) == ("broken", "yes")
    assert (await beside).delivered != "no"
    assert await house.text() == "ok"
    assert len(kin.lines("start")) == 2


async def test_floods(house: House, kin: Kin) -> None:
    await house.add(command=kin.command(), options=HANDSHAKE)
    *before, last = await house.events(house.call("flood"))
    assert isinstance(last, Result)
    assert all(isinstance(event, Progress) for event in before)
    assert await house.text("stderr") == "after the flood"
    assert await house.text() == "ok"
    assert len(kin.lines("start")) == 1


async def test_an_answer_after_the_cancel_reaches_nobody(house: House, kin: Kin) -> None:
    await house.add(command=kin.command(), options=HANDSHAKE)
    error = await house.fault("hold", deadline=house.deadline(0.2))
    assert (error.code, error.delivered) == ("timed_out", "unknown")
    await until(lambda: len(kin.lines("cancelled")) == 1, "it is told")
    assert await house.text() == "ok"
    assert await house.text("release") == "1"
    assert await house.text() == "ok"


# ---- what it asks ------------------------------------------------------------------------------------------------


async def test_what_it_asks_beside_a_call(house: House, kin: Kin) -> None:
    await house.add(command=kin.command(), options=HANDSHAKE)
    assert json.loads(await house.text("ping")) == {}
    for method in ("roots/list", "made/up"):
        assert json.loads(await house.text(method))["code"] == -32601
    for method in ("elicitation/create", "sampling/createMessage"):
        refused = json.loads(await house.text(f"{method} {json.dumps(FORM)}", answers=frozenset()))
        assert "cannot answer" in refused["message"]
    asked = await house.ask(f"elicitation/create {json.dumps(FORM)}", answers=frozenset({"form"}))
    found = await house.answer(asked, {asked[1].requests[0].id: {"name": "Ada"}})
    assert isinstance(found, Result)
    assert json.loads(found.text) == {"action": "accept", "content": {"name": "Ada"}}


async def test_what_it_asks_while_two_calls_run_is_refused(house: House, kin: Kin) -> None:
    """Nobody can tell which of them asks."""
    await house.add(command=kin.command(), options=HANDSHAKE)
    beside = asyncio.create_task(house.text("hold"))
    await until(lambda: len(kin.lines("call hold")) == 1, "the call arrives")
    text = f"elicitation/create {json.dumps(FORM)}"
    refused = json.loads(await house.text(text, answers=frozenset({"form"})))
    assert "2 calls run" in refused["message"]
    assert await house.text("release") == "1"
    assert await beside == "released"


async def test_a_question_outlived_by_its_child(house: House, kin: Kin) -> None:
    await house.add(command=kin.command(), options=HANDSHAKE)
    asked = await house.ask(f"elicitation/create {json.dumps(FORM)}", answers=frozenset({"form"}))
    os.kill(kin.last, signal.SIGKILL)
    await until(lambda: len(kin.lines("start")) == 2, "it is started again")
    found = await house.answer(asked, {asked[1].requests[0].id: {"name": "Ada"}})
    assert isinstance(found, Error)
    assert not isinstance(found, Ask)
    assert await house.text() == "ok"


# ---- ending ------------------------------------------------------------------------------------------------------


async def test_who_ignores_its_end_is_killed(house: House, kin: Kin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.mcp.stdio_link.GRACE", 0.1)
    await house.add(command=kin.command("deaf"), options=HANDSHAKE)
    assert await house.text() == "ok"
    pid = kin.last
    await house.box.remove("far")
    assert not alive(pid)


async def test_its_own_children_go_with_it(house: House, kin: Kin) -> None:
    await house.add(command=kin.command(), options=HANDSHAKE)
    assert await house.text("orphan") == "born"
    group = os.getpgid(kin.last)
    assert group != os.getpgid(0)
    await house.box.remove("far")

    def gone() -> bool:
        with suppress(ProcessLookupError):
            os.killpg(group, 0)
            return False
        return True

    await until(gone, "the whole group is gone")


async def test_a_child_that_dies_leaves_no_children(house: House, kin: Kin) -> None:
    await house.add(command=kin.command(), options=HANDSHAKE)
    assert await house.text("orphan") == "born"
    group = kin.last
    await house.fault("die")
    assert await house.text() == "ok"

    def gone() -> bool:
        with suppress(ProcessLookupError):
            os.killpg(group, 0)
            return False
        return True

    await until(gone, "the whole group is gone")
