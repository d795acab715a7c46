"""The suite catches faults: mutants of the fake network each make a check fail, and that check by its name."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from adapters.conformance import calls, faults, lists
from adapters.conformance.bench import Bench
from adapters.conformance.suite import manifest_of
from adapters.errors import GatewayError
from adapters.fake import Fake, Options
from adapters.fake.outbound import FakeOutbound
from adapters.fake.testing import FakeFarSide
from adapters.spi import Agent, Ask, Call, Caller, Error, Event, Form, Host, Report, Result, Text, Tool, Upstream
from gateway.testing import Box


class DeliversTwice(FakeOutbound):
    async def invoke(self, call: Call, tool: Tool) -> AsyncIterator[Event]:
        for turn in range(2):
            async for event in super().invoke(call, tool):
                if turn:
                    yield event


class Swallows(FakeOutbound):
    async def invoke(self, call: Call, tool: Tool) -> AsyncIterator[Event]:
        async for event in super().invoke(call, tool):
            if not isinstance(event, Result):
                yield event


class CrossesAnswers(FakeOutbound):
    last = "nobody's"

    async def invoke(self, call: Call, tool: Tool) -> AsyncIterator[Event]:
        said, CrossesAnswers.last = CrossesAnswers.last, str(call.arguments.get("text"))
        yield Result((Text(said),))


class LiesAboutDelivery(FakeOutbound):
    async def invoke(self, call: Call, tool: Tool) -> AsyncIterator[Event]:
        async for event in super().invoke(call, tool):
            if isinstance(event, Error):
                event.error.delivered = "no"
            yield event


class SharesConversations(FakeOutbound):
    async def invoke(self, call: Call, tool: Tool) -> AsyncIterator[Event]:
        async for event in super().invoke(replace(call, caller=Caller("everybody")), tool):
            yield event


class NeverResumes(FakeOutbound):
    async def resume(self, call: Call, tool: Tool, handle: str) -> AsyncIterator[Event]:
        async for event in self.invoke(call, tool):
            yield event


class IgnoresCancel(FakeOutbound):
    """The far side works on, whoever has gone."""

    async def _hang(self, call: Call, tool: Tool) -> AsyncIterator[Event]:
        try:
            await asyncio.Event().wait()
        finally:
            self._world.running += 1
        yield Result()


class LosesTheAnswer(FakeOutbound):
    async def _ask(self, call: Call, tool: Tool) -> AsyncIterator[Event]:
        yield Ask((Form("who", "What is your name?", {}),), state={})


class LeaksATask(FakeOutbound):
    left: "list[asyncio.Task[Any]]" = []  # noqa: RUF012 - of the one test that runs

    async def invoke(self, call: Call, tool: Tool) -> AsyncIterator[Event]:
        self.left.append(asyncio.create_task(asyncio.Event().wait()))
        async for event in super().invoke(call, tool):
            yield event


class LeaksAFile(FakeOutbound):
    left: list[int] = []  # noqa: RUF012 - of the one test that runs

    async def invoke(self, call: Call, tool: Tool) -> AsyncIterator[Event]:
        self.left.append(os.open(os.devnull, os.O_RDONLY))
        async for event in super().invoke(call, tool):
            yield event


class LeaksWhenCutShort(FakeOutbound):
    async def _hang(self, call: Call, tool: Tool) -> AsyncIterator[Event]:
        try:
            await asyncio.Event().wait()
        finally:
            LeaksATask.left.append(asyncio.create_task(asyncio.Event().wait()))
        yield Result()


class MakesUpAnswers(FakeOutbound):
    async def _garbage(self, call: Call, tool: Tool) -> AsyncIterator[Event]:
        yield Result((Text("all is well"),))


class LosesTheChain(FakeOutbound):
    async def invoke(self, call: Call, tool: Tool) -> AsyncIterator[Event]:
        async for event in super().invoke(replace(call, hops=()), tool):
            yield event


class TakesHalfAList(FakeOutbound):
    async def agents(self) -> AsyncIterator[Agent]:
        with suppress(GatewayError):
            async for agent in super().agents():
                yield agent


class ListsAnew(FakeOutbound):
    """Describes the same agent in other words at each list."""

    turn = 0

    async def agents(self) -> AsyncIterator[Agent]:
        async for agent in super().agents():
            ListsAnew.turn += 1
            yield replace(agent, description=f"List {self.turn}")


class TellsNoChange(FakeOutbound):
    def _changed(self) -> None:
        pass


class RaisesAtACheck(FakeOutbound):
    async def check(self) -> Report:
        self._world.require()
        return await super().check()


Check = Callable[[Bench], Awaitable[None]]
MUTANTS: tuple[tuple[type[FakeOutbound], Check, str], ...] = (
    (DeliversTwice, calls.same_id_is_delivered_once, "delivered"),
    (Swallows, calls.unary, "a result, not"),
    (CrossesAnswers, calls.sixty_four_at_once, "number 0"),
    (LiesAboutDelivery, faults.each_error_arrives_as_what_it_is, "delivered is"),
    (SharesConversations, calls.conversations_are_each_callers_own, "ann bob"),
    (NeverResumes, faults.held_work_is_resumed_and_not_delivered_again, "isinstance"),
    (IgnoresCancel, calls.hanging_up_reaches_the_far_side, "the far side stops"),
    (IgnoresCancel, calls.cancelling_by_id_reaches_the_far_side, "the far side stops"),
    (IgnoresCancel, calls.what_is_cut_short_leaves_nothing, "stops at the deadline"),
    (LosesTheAnswer, faults.a_question_is_answered, "a result, not"),
    (LeaksATask, calls.nothing_leaks, "tasks are left"),
    (LeaksAFile, calls.nothing_leaks, "files and sockets"),
    (LeaksWhenCutShort, calls.what_is_cut_short_leaves_nothing, "tasks are left"),
    (MakesUpAnswers, faults.what_is_broken_is_no_answer, "an error, not"),
    (LosesTheChain, lists.the_chain_reaches_the_far_side, "outer"),
    (TakesHalfAList, lists.a_list_that_breaks_off_withdraws_nothing, "assert"),
    (ListsAnew, lists.an_unchanged_list_changes_nothing, "assert"),
    (TellsNoChange, lists.a_change_is_told, "listed without being asked"),
    (RaisesAtACheck, faults.check_speaks_plainly, "never raises"),
)


@pytest.fixture(autouse=True)
async def _swept() -> AsyncIterator[None]:
    """What the mutants leave is cleared away."""
    yield
    for task in LeaksATask.left:
        task.cancel()
    await asyncio.gather(*LeaksATask.left, return_exceptions=True)
    for file in LeaksAFile.left:
        os.close(file)
    LeaksATask.left.clear()
    LeaksAFile.left.clear()


@pytest.mark.parametrize(("outbound", "check", "said"), MUTANTS)
async def test_a_mutant_fails_its_check(box: Box, outbound: type[FakeOutbound], check: Check, said: str) -> None:
    class Mutant(Fake):
        manifest = manifest_of("fake")

        def outbound(self, upstream: Upstream, host: Host) -> Any:
            return outbound(upstream, host, Options.model_validate({}))

    far = FakeFarSide()
    await far.open()
    await box.add(far.upstream, Mutant())
    bench = Bench(box, far, manifest_of("fake"), patience=0.5)
    with pytest.raises(AssertionError, match=said):
        await check(bench)
    await far.close()
