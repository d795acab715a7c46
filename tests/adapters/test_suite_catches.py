"""The suite catches faults: mutants of the fake network each make a check fail, and that check by its name."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from adapters.conformance import calls, faults
from adapters.conformance.bench import Bench
from adapters.conformance.suite import manifest_of
from adapters.fake import Fake, Options
from adapters.fake.outbound import FakeOutbound
from adapters.fake.testing import FakeFarSide
from adapters.spi import Call, Caller, Error, Event, Host, Result, Text, Tool, Upstream
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


Check = Callable[[Bench], Awaitable[None]]


@pytest.mark.parametrize(
    ("outbound", "check"),
    [
        (DeliversTwice, calls.same_id_is_delivered_once),
        (Swallows, calls.unary),
        (CrossesAnswers, calls.sixty_four_at_once),
        (LiesAboutDelivery, faults.each_error_arrives_as_what_it_is),
        (SharesConversations, calls.conversations_are_each_callers_own),
        (NeverResumes, faults.held_work_is_resumed_and_not_delivered_again),
    ],
)
async def test_a_mutant_fails_its_check(box: Box, outbound: type[FakeOutbound], check: Check) -> None:
    class Mutant(Fake):
        manifest = manifest_of("fake")

        def outbound(self, upstream: Upstream, host: Host) -> Any:
            return outbound(upstream, host, Options.model_validate({}))

    far = FakeFarSide()
    await far.open()
    await box.add(far.upstream, Mutant())
    bench = Bench(box, far, manifest_of("fake"))
    with pytest.raises(AssertionError):
        await check(bench)
    await far.close()
