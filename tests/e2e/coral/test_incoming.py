"""Agents of ours in Coral sessions, and our tools there. Against the stand-in; the processes are real."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest

from adapters.conformance import NearSide, Outcome, inbound_suite
from adapters.coral import joined as joining
from adapters.coral.joined import Joined, Mention
from adapters.fake.outbound import RELAYS
from adapters.fake.world import World
from adapters.spi import Upstream
from gateway.testing import Box
from tests.conftest import ROOT
from tests.e2e.coral import definitions
from tests.e2e.coral.agents import absent
from tests.e2e.coral.rules import Message, Session
from tests.e2e.coral.standin import CoralServer
from tests.e2e.coral.test_outgoing import text, until

pytestmark = pytest.mark.e2e
_numbers = itertools.count()


class CoralNearSide(NearSide):
    """A process of ours in a session, as the gateway sees it: one mention after the other."""

    async def call(self, tool: str, arguments: dict[str, Any], hops: str = "") -> Outcome:
        said = f"{tool} {orjson.dumps(arguments).decode()}"
        document = {"session": "s", "thread": f"t{next(_numbers)}", "text": said}
        response = await self._ask("POST", "/coral/agents/all/mentions", document)
        found = response.json()
        if response.status_code != 200:
            return Outcome(found["detail"], found["code"])
        return Outcome(found["text"], structured=found.get("structured"))

    async def tools(self) -> list[str]:
        return list((await self._ask("GET", "/coral/tools")).json()["customTools"])

    async def _ask(self, method: str, path: str, document: Any = None) -> httpx2.Response:
        headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {self.key}"} if self.key else {})
        content = None if document is None else orjson.dumps(document)
        async with httpx2.AsyncClient(base_url=self.url, headers=headers, trust_env=False, timeout=30) as client:
            return await client.request(method, path, content=content)


TestInboundCoral = inbound_suite("coral", CoralNearSide)


# ---- the loop of a process --------------------------------------------------------------------------------------


def session_of(coral: CoralServer, *names: str) -> Session:
    """One of agents that do nothing of themselves."""
    if not any(one.name == "silent" for one in coral.registry):
        coral.define(definitions.function("silent", absent))
    identifier = {"name": "silent", "version": "1.0.0", "registrySourceId": {"type": "local"}}
    agents = [{"id": identifier, "name": n, "provider": {"type": "local", "runtime": "function"}} for n in names]
    namespace = {"type": "create_if_not_exists", "namespaceRequest": {"name": "test"}}
    return coral.open(
        {"agentGraphRequest": {"agents": agents, "groups": [list(names)]}, "namespaceProvider": namespace}
    )


@asynccontextmanager
async def member(coral: CoralServer, session: Session, answer: Any, end: str = "mcp") -> AsyncIterator[list[Mention]]:
    """Our agent `ours`, joined; what was said to it."""
    heard: list[Mention] = []

    async def answered(mention: Mention) -> str:
        heard.append(mention)
        return str(await answer(mention))

    url = f"{coral.url}/mcp/v1/{session.agents['ours'].secret}/{end}"
    task = asyncio.create_task(Joined(url, "ours", answered, lambda _: None).run())
    try:
        yield heard
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _same(mention: Mention) -> str:
    return mention.text


def answers(session: Session) -> list[Message]:
    return [m for t in session.threads.values() for m in t.messages if m.sender == "ours"]


@pytest.mark.parametrize("end", ["mcp", "sse/"])
async def test_32_threads_each_message_is_answered_once_where_it_was_said(coral: CoralServer, end: str) -> None:
    """Four at once in each, all of one millisecond, over each transport; some were said before we joined."""
    session = session_of(coral, "ours", "ann", "bob")
    askers = [session.agents["ann"], session.agents["bob"]]
    coral.clock.held = time.time_ns()
    threads = [askers[n % 2].create_thread(f"t{n}", ["ours", "ann", "bob"]) for n in range(32)]
    for n, thread in enumerate(threads):
        askers[n % 2].send(thread.id, f"{n}/0", ["ours"])
    async with member(coral, session, _same, end):
        await until(lambda: len(answers(session)) > 4)
        for turn in range(1, 4):
            for n, thread in enumerate(threads):
                askers[n % 2].send(thread.id, f"{n}/{turn}", ["ours"])
                askers[(n + 1) % 2].send(thread.id, "to nobody", [])
            await asyncio.sleep(0.05)
        coral.clock.held = None
        await until(lambda: len(answers(session)) >= 32 * 4)
        await asyncio.sleep(0.1)
    for n, thread in enumerate(threads):
        said = [m for m in thread.messages if m.sender == "ours"]
        assert [m.text for m in said] == [f"{n}/{turn}" for turn in range(4)]
        assert all(m.mentions == (askers[n % 2].name,) for m in said)


async def test_messages_out_of_order_are_all_heard(coral: CoralServer) -> None:
    """Clocks that step back: what is said later has the older time."""
    session = session_of(coral, "ours", "ann")
    ann = session.agents["ann"]
    thread = ann.create_thread("t", ["ours"])
    async with member(coral, session, _same):
        await until(lambda: bool(session.agents["ours"]._waiters))
        start = time.time_ns()
        for n in range(10):
            coral.clock.held = start - n * 10**9
            ann.send(thread.id, str(n), ["ours"])
            await asyncio.sleep(0.01)
        coral.clock.held = None
        await until(lambda: len(answers(session)) == 10)
    assert [m.text for m in answers(session)] == [str(n) for n in range(10)]


async def test_waits_time_out_and_go_on(coral: CoralServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what a wait has missed is found after it."""
    monkeypatch.setattr(joining, "WAIT", 100)
    session = session_of(coral, "ours", "ann")
    ann, ours = session.agents["ann"], session.agents["ours"]
    thread = ann.create_thread("t", ["ours"])
    async with member(coral, session, _same):
        await until(lambda: bool(ours._waiters))
        await asyncio.sleep(0.35)
        waiters, ours._waiters = ours._waiters, []  # the server forgets whom to wake
        coral.clock.held = time.time_ns() - 10**13
        ann.send(thread.id, "hello", ["ours"])
        coral.clock.held = None
        await until(lambda: len(answers(session)) == 1)
        assert waiters


async def test_a_process_that_starts_again_answers_only_what_is_open(coral: CoralServer) -> None:
    session = session_of(coral, "ours", "ann")
    ann = session.agents["ann"]
    thread = ann.create_thread("t", ["ours"])
    ann.send(thread.id, "one", ["ours"])
    async with member(coral, session, _same):
        await until(lambda: len(answers(session)) == 1)
    ann.send(thread.id, "two", ["ours"])
    async with member(coral, session, _same) as heard:
        await until(lambda: len(answers(session)) == 2)
    assert [m.text for m in heard] == ["two"]


async def test_threads_wait_for_themselves_alone(coral: CoralServer) -> None:
    session = session_of(coral, "ours", "ann")
    ann, gate = session.agents["ann"], asyncio.Event()
    slow, quick = ann.create_thread("slow", ["ours"]), ann.create_thread("quick", ["ours"])

    async def answer(mention: Mention) -> str:
        if mention.text == "slow":
            await gate.wait()
        return mention.text

    async with member(coral, session, answer):
        ann.send(slow.id, "slow", ["ours"])
        ann.send(slow.id, "after it", ["ours"])
        ann.send(quick.id, "quick", ["ours"])
        await until(lambda: [m.text for m in answers(session)] == ["quick"])
        gate.set()
        await until(lambda: len(answers(session)) == 3)
    assert [m.text for m in slow.messages if m.sender == "ours"] == ["slow", "after it"]


async def test_answers_survive_a_connection_that_breaks(coral: CoralServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "AWAY", (0.05, 10.0))
    monkeypatch.setattr(joining, "READ", 1.0)
    session = session_of(coral, "ours", "ann")
    ann, gate = session.agents["ann"], asyncio.Event()
    thread = ann.create_thread("t", ["ours"])

    async def answer(mention: Mention) -> str:
        await gate.wait()
        return mention.text

    async with member(coral, session, answer) as heard:
        ann.send(thread.id, "hello", ["ours"])
        await until(lambda: len(heard) == 1)
        coral.outage(True)
        gate.set()
        await asyncio.sleep(0.3)
        assert not answers(session)
        coral.outage(False)
        await until(lambda: len(answers(session)) == 1)
        ann.send(thread.id, "again", ["ours"])
        await until(lambda: len(answers(session)) == 2)
    assert [m.text for m in answers(session)] == ["hello", "again"]


async def test_a_thread_that_was_closed_and_too_many_turns(coral: CoralServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "TURNS", 2)
    session = session_of(coral, "ours", "ann")
    ann = session.agents["ann"]
    closed, other = ann.create_thread("closed", ["ours"]), ann.create_thread("other", ["ours"])

    async def answer(mention: Mention) -> str:
        if mention.thread == closed.id:
            ann.close_thread(closed.id, "enough")
        return mention.text

    async with member(coral, session, answer) as heard:
        ann.send(closed.id, "x", ["ours"])
        for n in range(4):
            ann.send(other.id, str(n), ["ours"])
        await until(lambda: len(answers(session)) == 2)
        await asyncio.sleep(0.1)
    assert Counter(m.thread for m in heard) == {closed.id: 1, other.id: 2}


# ---- whole: published, launched, asked --------------------------------------------------------------------------


async def _doolittle(*words: str, code: int = 0) -> str:
    command = (str(ROOT / ".venv" / "bin" / "doolittle"), *words)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    out, err = await process.communicate()
    assert process.returncode == code, (out, err)
    return (out or err).decode()


@pytest.mark.parametrize("transport", ["streamable_http", "sse"])
async def test_an_agent_is_published_launched_and_asked(
    box: Box, coral: CoralServer, far: World, tmp_path: Path, transport: str
) -> None:
    """Through a real process of `doolittle coral-agent`, and back out through the same gateway."""
    url = await box.serve()
    out = str(tmp_path / "all")
    words = ["--url", url, "publish", "coral", "all", "--out", out, "--transport", transport]
    assert "defines 'all'" in await _doolittle(*words)
    await _doolittle(*words)
    coral.define(definitions.read(tmp_path / "all" / "coral-agent.toml"))
    await box.add(Upstream("reef", "coral", coral.url, coral.key))
    ask = next(t.name for t in box.tools("reef") if t.agent != "echo" and t.native == "ask")
    assert await text(box, ask, message='echo {"text": "By George"}', conversation="c") == "By George"
    assert "Error (unknown)" in await text(box, ask, message="nothing {}", conversation="c")
    assert await text(box, ask, message="wait {}", conversation="c") == "What is your name? (name)"
    assert await text(box, ask, message="Ada", conversation="c") == "Hello, Ada, at last"
    (session,) = coral.all()
    job = session.jobs["all"]
    await coral.close(session)
    assert job.cancelled() or job.done()
    (tmp_path / "all" / "coral-agent.toml").write_text("mine = 1")
    assert "not written by this command" in await _doolittle(*words, code=2)


async def test_a_loop_through_a_session_is_cut(box: Box, coral: CoralServer, far: World, tmp_path: Path) -> None:
    """A thread carries no chain: it is inferred from the session, in which one call of ours runs."""
    url = await box.serve()
    await _doolittle("--url", url, "publish", "coral", "all", "--out", str(tmp_path / "all"))
    coral.define(definitions.read(tmp_path / "all" / "coral-agent.toml"))
    await box.add(Upstream("reef", "coral", coral.url, coral.key))
    ask = next(t.name for t in box.tools("reef") if t.agent != "echo" and t.native == "ask")
    RELAYS["fake://coral"] = box.invoke
    inner = {"tool": ask, "arguments": {"message": "again"}}
    said = await text(box, ask, message=f"relay {orjson.dumps(inner).decode()}")
    assert "Error (loop_cut)" in said
    assert coral.opened == 1
    RELAYS.clear()


async def test_without_a_running_gateway_the_process_carries_calls_out_itself(
    coral: CoralServer, tmp_path: Path
) -> None:
    config = tmp_path / "doolittle.toml"
    config.write_text('data_dir = "data"\n[server]\nport = 0\n[upstreams.w]\nnetwork = "fake"\nurl = "fake://own"\n')
    await _doolittle("--config", str(config), "publish", "coral", "all", "--out", str(tmp_path / "all"))
    coral.define(definitions.read(tmp_path / "all" / "coral-agent.toml"))
    coral.define(definitions.function("silent", absent))
    agents = [
        {"id": d.identifier(), "name": d.name, "provider": {"type": "local", "runtime": next(iter(d.runtimes))}}
        for d in coral.registry if d.name in ("all", "silent")
    ]  # fmt: skip
    space = {"type": "create_if_not_exists", "namespaceRequest": {"name": "test"}}
    session = coral.open({"agentGraphRequest": {"agents": agents}, "namespaceProvider": space})
    thread = session.agents["silent"].create_thread("t", ["all"])
    session.agents["silent"].send(thread.id, 'echo {"text": "alone"}', ["all"])
    await until(lambda: len(thread.messages) == 2, 30)
    assert thread.messages[1].text == "alone"
    assert thread.messages[1].mentions == ("silent",)


async def test_the_process_says_what_it_lacks(box: Box) -> None:
    url = await box.serve()
    said = await _doolittle("--url", url, "coral-agent", "--agent", "all", code=2)
    assert "CORAL_CONNECTION_URL" in said
    said = await _doolittle("--url", url, "publish", "coral", code=2)
    assert "name an agent" in said
