"""`doolittle engine` for agents on an ElizaOS server: in one step or in several."""

import pytest

from adapters.errors import BadArguments
from adapters.spi import Result
from gateway.api.engines import switchable
from gateway.testing import Box
from tests.e2e.plugin.inside import Inside

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
ORDER = "!multi TEST_WELL now"


async def test_an_agent_is_switched_between_one_step_and_several(inside: Inside) -> None:
    async def said(tool: str) -> str:
        last = [event async for event in inside.box.invoke(inside.call(tool, {"message": ORDER}))][-1]
        assert isinstance(last, Result), last
        return last.text

    outbound, native = switchable(inside.box.gateway, "pickering")  # its server has set it to work in steps
    found = await outbound.engines(native)
    assert found.names == ("as-set", "single-shot", "multi-step")
    assert found.chosen == "as-set"
    for engine, answer in (
        ("single-shot", f"You said: {ORDER}"), ("multi-step", "Step by step, it is done."),
        ("as-set", "Step by step, it is done."),
    ):  # fmt: skip
        assert "Memory does not move" in (await outbound.switch(native, engine)).note
        assert await said("pickering__ask") == answer
    await outbound.switch(native, "single-shot")
    call = inside.call("pickering__ask", {"message": ORDER, "multi_step": True})
    last = [event async for event in inside.box.invoke(call)][-1]
    assert isinstance(last, Result)
    assert last.text == "Step by step, it is done.", "a call that says it is followed"
    assert await outbound._kept.get(native) == b"single-shot", "over restarts too"
    await outbound.switch(native, "as-set")


async def test_by_the_plain_api_it_says_that_it_cannot(home: Box) -> None:
    outbound, native = switchable(home.gateway, "eliza")
    assert (await outbound.engines(native)).names == ("as-set",)
    with pytest.raises(BadArguments, match="as its server has set it"):
        await outbound.switch(native, "multi-step")
