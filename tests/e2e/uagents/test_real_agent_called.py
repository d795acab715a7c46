"""A real uAgent is called: by chat, by models, and by MCP."""

import asyncio
import random
from typing import Any

import pytest

from adapters.errors import Refused, TimedOut
from adapters.spi import Call, Error, Event, Part, Progress, Result
from gateway.testing import Box
from tests.e2e.uagents.conftest import Town

pytestmark = pytest.mark.e2e


def name(box: Box, native: str) -> str:
    return next(t.name for t in box.tools("freddy") if t.native == native)


async def events(box: Box, native: str, arguments: dict[str, Any], **more: Any) -> list[Event]:
    id = more.pop("id", f"c{random.random()}")
    call = Call(id, name(box, native), arguments, more.pop("caller", box.caller), **more)
    return [event async for event in box.invoke(call)]


async def last(box: Box, native: str, arguments: dict[str, Any], **more: Any) -> Any:
    return (await events(box, native, arguments, **more))[-1]


async def test_what_it_speaks_becomes_tools(street: Box, town: Town) -> None:
    tools = {t.native: t for t in street.tools("freddy")}
    assert set(tools) == {"ask", "shout", "CountWords", "Echo", "Trouble", "Big"}
    schema = street.gateway.registry.snapshot.find(tools["CountWords"].name)
    assert schema is not None
    assert b'"words"' in (tools["CountWords"].output_schema or b"")
    assert tools["CountWords"].description == "Counts the words of a text."


async def test_by_a_model(street: Box) -> None:
    found = await last(street, "CountWords", {"text": "the rain in Spain"})
    assert isinstance(found, Result), found
    assert found.structured == {"text": "the rain in Spain", "words": 4}
    refused = await last(street, "Trouble", {"how": "refuse"})
    assert isinstance(refused.error, Refused)
    assert "I would rather not." in refused.error.public
    bad = await last(street, "CountWords", {"text": 5})
    assert bad.error.code == "bad_arguments"


async def test_by_mcp(street: Box) -> None:
    found = await last(street, "shout", {"text": "hello"})
    assert isinstance(found, Result), found
    assert found.text == "HELLO!"


async def test_by_chat(street: Box) -> None:
    found = await last(street, "ask", {"message": "How do you do?"})
    assert isinstance(found, Result), found
    assert found.text == "How do you do?"
    heard = await events(street, "ask", {"message": "!count 3"})
    assert [e.done for e in heard if isinstance(e, Progress)] == [1, 2, 3]
    assert isinstance(heard[-1], Result)
    assert heard[-1].text == "counted to 3"
    stream = await events(street, "ask", {"message": "!stream the rain in Spain"})
    assert isinstance(stream[-1], Result)
    assert stream[-1].text == "the rain in Spain "
    assert sum(isinstance(e, Part) for e in stream) == 4


async def test_within_a_conversation_calls_queue_and_are_remembered(street: Box) -> None:
    said = [last(street, "ask", {"message": f"!talk {n}"}, conversation="c") for n in ("one", "two", "three")]
    texts = sorted([found.text for found in await asyncio.gather(*said)], key=len)
    assert [len(text.split()) for text in texts] == [1, 2, 3]
    assert (await last(street, "ask", {"message": "!talk four"})).text == "four"


async def test_a_late_answer_is_not_taken_for_the_next(street: Box) -> None:
    import time

    late = await last(street, "ask", {"message": "!slow 1"}, conversation="late", deadline=time.time() + 0.4)
    assert isinstance(late.error, TimedOut)
    found = await asyncio.gather(
        *(last(street, "ask", {"message": f"next {n}"}, conversation="late") for n in range(3))
    )
    await asyncio.sleep(1)
    after = await last(street, "ask", {"message": "and now"}, conversation="late")
    assert [f.text for f in found] == ["next 0", "next 1", "next 2"]
    assert after.text == "and now"


async def test_until_the_session_ends(box: Box, town: Town) -> None:
    from dataclasses import replace

    box.gateway.settings.networks["uagents"] = town.face()
    await box.serve()
    await box.add(replace(town.upstream, options={**town.upstream.options, "until": "end-session"}))
    found = await events(box, "ask", {"message": "!long the rain in Spain"})
    assert isinstance(found[-1], Result), found
    assert found[-1].text == "the rain in Spain "


@pytest.mark.parametrize("native", ["CountWords", "ask"])
async def test_sixty_four_at_once_and_no_answer_is_crossed(street: Box, native: str) -> None:
    """Of 1,000 calls, over both ways."""
    gate = asyncio.Semaphore(64)
    crossed = 0

    async def one(number: int) -> None:
        nonlocal crossed
        text = f"number {number} " + "x " * (number % 5)
        arguments = {"text": text} if native == "CountWords" else {"message": text}
        async with gate:
            found = await last(street, native, arguments)
        assert isinstance(found, Result), found
        answer = found.structured["text"] if native == "CountWords" else found.text
        crossed += answer != text
        assert native == "ask" or found.structured["words"] == len(text.split())

    await asyncio.gather(*(one(n) for n in range(500)))
    assert crossed == 0


async def test_with_no_face_chat_says_so_and_models_work(box: Box, town: Town) -> None:
    await box.add(town.upstream)
    found = await last(box, "ask", {"message": "hello"})
    assert isinstance(found, Error)
    assert "doolittle serve" in found.error.public
    assert found.error.delivered == "no"
    assert (await last(box, "Echo", {"text": "x"})).text == "x"
