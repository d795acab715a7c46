"""A session in the gateway: for whom its tools are there, a harness that breaks its word, and what the figures say."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.errors import Broken
from adapters.inspect import report, translate
from adapters.inspect.session import Outcome
from adapters.spi import Call, Caller, Error, Result, Upstream
from gateway.testing import Box

TOOLS = [{"name": "look_up", "description": "Looks up.", "schema": {"type": "object", "properties": {}}}]


class Far:
    """A harness as far as the wire goes: what it was asked, and what it answers."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.keys: set[str] = set()
        self.answer: Any = {"text": "found", "ok": True}
        self.left = 0

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._one, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lines = {k.lower(): v for k, _, v in (line.partition(": ") for line in head.split("\r\n"))}
        body = await reader.readexactly(int(lines.get("content-length", "0")))
        self.keys.add(lines.get("authorization", ""))
        if head.startswith("POST"):
            self.calls.append(json.loads(body))
        said: Any = self.answer if head.startswith("POST") else TOOLS
        if said == "hang":
            self.left += not await reader.read()
        text = said if isinstance(said, bytes) else json.dumps(said).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(text), text))
        writer.close()


@pytest.fixture
async def far(box: Box) -> AsyncIterator[Far]:
    made = Far()
    async with made.serving() as url:
        only = ["key:one", "agent:eliza"]
        await box.add(Upstream("b1234", "inspect", url, "token", options={"only": only}))
        yield made


def call(caller: Caller, **more: Any) -> Call:
    return Call(more.pop("id", "c1"), "b1234__look_up", {}, caller, **more)


async def last(box: Box, made: Call) -> Any:
    return [event async for event in box.invoke(made)][-1]


JSON = st.recursive(
    st.none() | st.booleans() | st.text() | st.integers(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
)
SESSION = Caller("key:one")
AGENT = Caller("key:eliza", agent="eliza")
OTHERS = (
    Caller("key:two"), Caller("local"), Caller("key:higgins", agent="higgins"), Caller("eliza"), Caller("agent:eliza"),
    Caller("x", agent="key:one"),
    Caller("key:two/eliza", on_behalf_of=Caller("key:two")),
)  # fmt: skip


@pytest.mark.parametrize(
    "caller", [SESSION, AGENT, Caller("key:one/langgraph", agent="langgraph", on_behalf_of=SESSION)]
)
async def test_the_sessions_caller_and_the_agent_under_test_see_and_call_its_tools(
    box: Box, far: Far, caller: Caller
) -> None:
    assert [t.name for t in box.catalog.tools(caller)] == ["b1234__look_up"]
    assert [a.slug for a in box.catalog.agents(caller)] == ["b1234"]
    assert (await last(box, call(caller))).text == "found"
    assert far.keys == {"Bearer token"}
    assert [one["name"] for one in far.calls] == ["look_up"]


@pytest.mark.parametrize("caller", OTHERS, ids=lambda c: c.id)
async def test_nobody_else_does(box: Box, far: Far, caller: Caller) -> None:
    assert not box.catalog.tools(caller)
    assert not box.catalog.agents(caller)
    assert not await box.catalog.search("look up", caller)
    said = await last(box, call(caller))
    assert isinstance(said, Error)
    assert said.error.code == "denied"
    assert not far.calls


async def test_after_a_restart_they_are_still_for_the_same(box: Box, far: Far) -> None:
    await box.restart()
    assert [t.name for t in box.catalog.tools(SESSION)] == ["b1234__look_up"]
    assert not box.catalog.tools(Caller("key:two"))


@pytest.mark.parametrize("answer", [b"not json", [], {"ok": True}, {"text": 1}])
async def test_a_harness_that_breaks_its_word_is_said(box: Box, far: Far, answer: Any) -> None:
    far.answer = answer
    said = await last(box, call(SESSION))
    assert isinstance(said, Error)
    assert said.error.code == "broken"


async def test_a_tool_that_failed_is_an_answer(box: Box, far: Far) -> None:
    far.answer = {"text": "Error: no such order", "ok": False}
    assert isinstance(await last(box, call(SESSION)), Result)


async def test_hanging_up_reaches_the_harness(box: Box, far: Far) -> None:
    far.answer = "hang"
    task = asyncio.create_task(last(box, call(SESSION)))
    while not far.calls:
        await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    while not far.left:
        await asyncio.sleep(0.01)


async def test_a_harness_that_is_gone(box: Box) -> None:
    report_ = await box.report(Upstream("gone", "inspect", "http://127.0.0.1:9", "t"))
    assert not report_.ok
    assert "is gone" in report_.text


@given(
    st.recursive(
        st.none() | st.booleans() | st.text() | st.integers(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_any_list_is_tools_or_a_fault(said: Any) -> None:
    try:
        assert isinstance(translate.tools(said), tuple)
    except Broken:
        assert not isinstance(said, list) or said


# ---- figures ------------------------------------------------------------------------------------------------------


def sample(task: str, reward: float | None) -> dict[str, Any]:
    zero = {
        "scores": {},
        "calls": 1,
        "turns": 1,
        "tokens_in": None,
        "tokens_out": None,
        "untold": 1,
        "paid": {},
        "seconds": 0.0,
    }
    return {"id": task, "reward": reward, "error": "" if reward is not None else "broke", **zero}


@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=5))
def test_pass_k_is_the_share_of_all_ways_to_take_k_trials(tasks: list[list[bool]]) -> None:
    samples = [sample(str(n), float(ok)) for n, trials in enumerate(tasks) for ok in trials]
    for k, found in enumerate(report.pass_k(samples, 3), 1):
        ways = [[all(pick) for pick in combinations(trials, k)] for trials in tasks]
        assert found == pytest.approx(sum(sum(w) / len(w) for w in ways) / len(ways), abs=1e-5)


def test_an_error_is_told_and_counts_as_nothing() -> None:

    arm = Outcome("a", [sample("0", 1.0), sample("1", None), sample("2", 1.0), sample("3", 0.0)], 1.0, {})
    found = report.figures(arm, 1)
    assert (found["reward"], found["errors"], found["n"], found["pass^k"]) == (0.5, 1, 4, [0.5])


def counted(read: int, written: int, paid: dict[str, str], untold: int = 0) -> dict[str, Any]:
    return {**sample("0", 1.0), "tokens_in": read, "tokens_out": written, "paid": paid, "untold": untold}


def test_tokens_their_cost_and_what_was_paid() -> None:
    arm = Outcome("a", [counted(1000, 100, {"USDC": "0.1"}), counted(500, 50, {"USDC": "0.2", "ETH": "1"})], 1.0, {})
    found = report.figures(arm, 1, (2.0, 10.0))
    assert (found["tokens_in"], found["tokens_out"], found["untold"]) == (1500, 150, 0)
    assert found["cost"] == pytest.approx((1500 * 2 + 150 * 10) / 1e6)
    assert found["paid"] == {"USDC": "0.3", "ETH": "1"}, "assets are not added to each other, nor by floats"
    assert report.figures(arm, 1)["cost"] is None, "nobody told a price"


def test_what_is_not_known_is_not_shown_as_nothing() -> None:
    some = report.figures(Outcome("a", [counted(1000, 100, {}, untold=1)], 1.0, {}), 1, (1.0, 1.0))
    none = report.figures(Outcome("b", [sample("0", 1.0)], 1.0, {}), 1, (1.0, 1.0))
    away = report.figures(Outcome("c", [], 0.0, {}, "slow", "it is not there"), 1)
    about = {"benchmark": "x", "n": 1, "trials": 1, "seed": 1, "user": "u", "judge": "j", "versions": {}}
    lines = report.table({**about, "price": [1.0, 1.0], "rows": [some, none, away], "baselines": {}})
    cells = [re.split(r"\s{2,}", line) for line in lines[5:8]]
    assert [row[7:11] for row in cells[:2]] == [[">=1000", ">=100", ">=0.0011", "-"], ["-", "-", "-", "-"]]
    small = report.figures(Outcome("d", [counted(20, 10, {})], 1.0, {}), 1, (1.0, 2.0))
    cheap = report.table({**about, "price": [1.0, 2.0], "rows": [small], "baselines": {}})
    assert re.split(r"\s{2,}", cheap[5])[7:10] == ["20", "10", "0.00004"]
    assert cells[2][:3] == ["c on slow", "not run", "-"]
    assert lines[8] == "c on slow: it is not there"
