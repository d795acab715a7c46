"""Tokens: what runners tell of them is added up, whatever becomes of the run, and reaches who called."""

import json
from typing import Any

import httpx2
import pytest

from adapters.fake.world import World
from adapters.http import translate
from adapters.spi import Answer, Ask, Result
from tests.adapters.sidekick.conftest import Scripted


def usage(prompt: int, completion: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


async def test_what_was_counted_is_added_up(scripted: Scripted) -> None:
    assert (await scripted.result("spend")).meta == {"usage": usage(20, 10)}


async def test_where_nothing_was_counted_nothing_is_told(scripted: Scripted) -> None:
    assert (await scripted.result("say hello")).meta == {}


async def test_a_run_that_is_cut_short_by_its_tools_tells_what_it_took(
    scripted: Scripted, world_of_tools: World
) -> None:
    await scripted.again(tool_calls=0)
    asked = {"tool": scripted.box.tools("w")[0].name, "arguments": {}}
    result = await scripted.result(f"spend {json.dumps(asked)}")
    assert not world_of_tools.seen
    assert isinstance(result.structured, dict)
    assert result.structured["stopReason"] == "max_tool_calls"
    assert result.meta == {"usage": usage(20, 10)}


async def test_a_run_that_asked_goes_on_counting(scripted: Scripted) -> None:
    first = await scripted.last(scripted.call("ask", "keeper__ask"))
    assert isinstance(first, Ask)
    more = scripted.call("ask", "keeper__ask", answer=Answer(first.token, {"who": {"name": "Ada"}}))
    last = await scripted.last(more)
    assert isinstance(last, Result), last
    assert (last.text, last.meta) == ("Hello, Ada", {"usage": usage(6, 4)})


async def test_a_caller_by_http_sees_it(scripted: Scripted) -> None:
    async with httpx2.AsyncClient(base_url=await scripted.box.serve(), trust_env=False) as http:
        said = await http.post("/v1/tools/sidekick__analyze/calls", json={"arguments": {"task": "spend"}})
        silent = await http.post("/v1/tools/sidekick__analyze/calls", json={"arguments": {"task": "say hello"}})
    assert said.json()["result"]["usage"] == usage(20, 10)
    assert "usage" not in silent.json()["result"]


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ({**usage(1, 2), "prompt_tokens_details": {"cached_tokens": 1}}, usage(1, 2)),
        ({"total_tokens": 7}, {"total_tokens": 7}),
        ({"prompt_tokens": 7}, {}),
        ({"total_tokens": "7"}, {}),
        ({"total_tokens": -1}, {}),
        ({"total_tokens": 2**60}, {}),
        ("many", {}),
        (None, {}),
    ],
)
def test_what_a_far_side_says_there_is_no_more_than_numbers(said: Any, shown: dict[str, int]) -> None:
    assert translate.usage(Result(meta={"usage": said})) == shown
