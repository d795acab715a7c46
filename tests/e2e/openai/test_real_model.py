"""A server of a real model (SmolLM2-135M by node-llama-cpp) as an upstream. What it says is not asserted."""

import pytest

from adapters.spi import Call, Part, Result, Text, Upstream
from examples.tour.eliza import install
from examples.tour.model import serving
from gateway.testing import Box

pytestmark = pytest.mark.e2e


async def test_it_streams_and_ends(box: Box) -> None:
    install(print, "smollm2")
    async with serving("smollm2") as url:
        await box.add(Upstream("small", "openai", url))
        (tool,) = box.tools("small")
        said = {"message": "What is the capital of France?", "conversation": "tea"}
        events = [event async for event in box.invoke(Call("c1", tool.name, said, box.caller))]
        last = events[-1]
        assert isinstance(last, Result), last
        pieces = [event.content.text for event in events if isinstance(event, Part) and isinstance(event.content, Text)]
        assert len(pieces) > 3
        assert "".join(pieces) == last.text
        assert last.text.strip()
