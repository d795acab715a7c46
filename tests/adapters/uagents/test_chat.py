"""Messages of the chat protocol: what is heard in them, and what is said."""

import asyncio
import json
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uagents_core.contrib.protocols.chat import (
    ChatMessage,
    EndSessionContent,
    MetadataContent,
    Resource,
    ResourceContent,
    StartSessionContent,
    TextContent,
)
from uagents_core.envelope import Envelope

from adapters.errors import BadArguments
from adapters.spi import Data, File, Progress, Result, Text
from adapters.uagents import chat, envelopes
from adapters.uagents.testing import Mouth
from gateway.testing import Box
from tests.adapters.uagents.house import House, house

LINK = Resource(
    uri="https://example.org/a.png", metadata={"mime_type": "image/png", "role": "picture", "name": "a.png"}
)


def heard(message: ChatMessage) -> chat.Heard:
    return chat.read(message.json().encode())


def test_each_kind_of_content_is_heard() -> None:
    inline = Resource(uri="data:text/plain;base64,aGk=", metadata={"mime_type": "text/plain"})
    content: list[Any] = [
        StartSessionContent(), TextContent(text="Look "), TextContent(text="at this."),
        ResourceContent(resource_id=uuid.uuid4(), resource=[LINK, inline]), MetadataContent(metadata={"a": "b"}),
        EndSessionContent(),
    ]  # fmt: skip
    found = heard(ChatMessage(content=content))
    assert (found.text, found.begins, found.ends, found.meta) == ("Look at this.", True, True, {"a": "b"})
    assert found.files == [
        File("image/png", uri="https://example.org/a.png", name="a.png"), File("text/plain", b"hi")
    ]  # fmt: skip
    said = chat.with_files(found.text, found.files)
    assert said.splitlines() == [
        "Look at this.", "[a.png: https://example.org/a.png (image/png)]", "[attached: 2 bytes (text/plain)]"
    ]  # fmt: skip


texts = st.text(max_size=50)


@given(texts, st.lists(st.binary(max_size=20), max_size=3), st.none() | st.dictionaries(texts, st.integers(0, 9)))
def test_a_result_is_heard_as_it_was_said(text: str, files: list[bytes], structured: Any) -> None:
    parts = tuple(File("application/x", body, name="f") for body in files)
    of = Result((Text(text), *parts), structured)
    (message,) = chat.answer(of)
    found = heard(message)
    back = chat.result(found.text, found.files, found.meta)
    assert back.structured == structured
    assert [c.body for c in back.content if isinstance(c, File)] == files
    assert back.text == text or (not text and (files or structured is not None))


@given(st.text(min_size=1, max_size=20).map(lambda t: t * (2 * chat.CHUNK // len(t) + 1)))
def test_the_pieces_of_a_long_answer_are_the_whole(text: str) -> None:
    messages = [heard(m) for m in chat.answer(Result((Text(text),)))]
    assert "".join(m.text for m in messages) == text
    (stream,) = messages[0].started
    assert messages[-1].ended == {stream}
    assert not any(m.ended for m in messages[:-1])
    assert [m.meta["done"] for m in messages] == [str(n + 1) for n in range(len(messages))]
    assert len(list(chat.answer(Result((Text(text),)), whole=True))) == 1


def test_data_and_progress() -> None:
    (message,) = chat.answer(Result((Data({"a": 1}),)))
    assert heard(message).text == '{"a":1}'
    told = heard(chat.progress(Progress("half", 1, 2)))
    assert (told.text, told.progress) == ("", Progress("half", 1, 2))
    assert heard(chat.say("x", progress="p", done="much")).progress == Progress("p")


KEYS = ["content", "type", "text", "msg_id", "timestamp", "resource", "uri", "metadata", "stream_id"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYS),
            inner,
        )
    ),
    max_leaves=12,
)


@given(JSON | st.lists(JSON).map(lambda content: {"msg_id": str(uuid.UUID(int=0, version=4)), "content": content}))
def test_no_message_crashes_the_reading_of_it(document: Any) -> None:
    try:
        chat.read(json.dumps(document).encode())
    except BadArguments:
        return


class Talk:
    """One session with the gateway's agent."""

    def __init__(self, home: House, mouth: Mouth) -> None:
        self.home, self.mouth, self.session = home, mouth, uuid.uuid4()
        self.queue: asyncio.Queue[Envelope] = asyncio.Queue()
        mouth.heard[self.session] = self.queue

    async def say(self, *content: Any, wait: int = 2) -> list[chat.Heard]:
        """What is heard after the acknowledgement."""
        message = ChatMessage(content=[TextContent(text=c) if isinstance(c, str) else c for c in content])
        made = envelopes.make(self.mouth.signer, self.home.address, self.session, message)
        headers = {"content-type": "application/json"}
        response = await self.home.http.post("/uagents/submit", content=made.model_dump_json(), headers=headers)
        assert (response.status_code, response.json()) == (200, {})
        found = [await asyncio.wait_for(self.queue.get(), 20) for _ in range(wait)]
        assert found[0].schema_digest == chat.ACKNOWLEDGEMENT
        assert envelopes.document(found[0])["acknowledged_msg_id"] == str(message.msg_id)
        return [chat.read(envelopes.payload(e)) for e in found[1:]]


@pytest.fixture
async def talk(box: Box) -> Any:
    async with Mouth() as mouth:
        home = await house(box, endpoints={mouth.signer.address: mouth.url})
        yield Talk(home, mouth)


async def test_a_session_that_begins_and_ends_is_acknowledged_and_nothing_is_called(talk: Talk) -> None:
    assert await talk.say(StartSessionContent(), wait=1) == []
    assert await talk.say(MetadataContent(metadata={"a": "b"}), wait=1) == []
    assert await talk.say(EndSessionContent(), wait=1) == []
    assert talk.home.far.seen["deliver"] == 0


async def test_a_question_back_is_answered_by_the_next_message(talk: Talk) -> None:
    (asked,) = await talk.say('ask {"greeting": "Good day"}')
    assert asked.text == "What is your name? (name)"
    (answered,) = await talk.say("Ada")
    assert answered.text == "Good day, Ada"
    await talk.say("ask {}")
    (again,) = await talk.say('{"name": "Grace"}')
    assert again.text == "Hello, Grace"
    await talk.say("ask {}")
    (declined,) = await talk.say("no")
    assert declined.meta["error"] == "refused"


async def test_a_question_is_forgotten_when_the_session_ends(talk: Talk) -> None:
    await talk.say("ask {}")
    await talk.say(EndSessionContent(), wait=1)
    (said,) = await talk.say("Ada")
    assert 'name {"argument": "value"}' in said.text


async def test_files_and_structure_come_as_resources_and_metadata(talk: Talk) -> None:
    (said,) = await talk.say("parts {}")
    assert [(f.media_type, f.name) for f in said.files] == [("image/png", "dot.png"), ("text/html", "page")]
    assert said.files[0].body == b"\x89PNG"
    (summed,) = await talk.say('add {"a": 1, "b": 2}')
    assert json.loads(summed.meta["structured"]) == {"sum": 3}
    assert json.loads(summed.text) == {"sum": 3}
