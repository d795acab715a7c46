"""Agents as models, for the official client: conversations, streams, questions, refusals."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import openai
import orjson
import pytest
from openai import AsyncOpenAI

from adapters import hops
from adapters.conformance.serving import serving
from adapters.errors import GatewayError
from adapters.fake.translate import KINDS
from adapters.fake.world import WORLDS, world
from adapters.openai import translate
from adapters.openai.far_testing import Server
from adapters.spi import Hop, Upstream
from gateway.testing import Box

URL = "fake://chat"
TOOLS: Any = [{"type": "function", "function": {"name": "sing", "parameters": {"type": "object"}}}]


@asynccontextmanager
async def client(url: str, key: str = "none", **headers: str) -> AsyncIterator[AsyncOpenAI]:
    made = AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=30, default_headers=headers)
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture
async def face(box: Box) -> AsyncIterator[str]:
    WORLDS.pop(URL, None)
    await box.add(Upstream("behind", "fake", URL))
    yield await box.serve()
    WORLDS.pop(URL, None)


@pytest.fixture
async def far(box: Box, face: str) -> AsyncIterator[Server]:
    """A server of models as the upstream `far`."""
    made = Server()
    async with serving(made.app) as (url, _):
        await box.add(Upstream("far", "openai", url))
        yield made


def user(text: str) -> Any:
    return {"role": "user", "content": text}


async def say(who: AsyncOpenAI, model: str, *messages: Any, **more: Any) -> str:
    answer = await who.chat.completions.create(model=model, messages=list(messages), **more)
    assert answer.choices[0].finish_reason == "stop"
    return str(answer.choices[0].message.content)


async def streamed(who: AsyncOpenAI, model: str, *messages: Any, **more: Any) -> list[str]:
    pieces: list[str] = []
    async for one in await who.chat.completions.create(model=model, messages=list(messages), stream=True, **more):
        pieces += [one.choices[0].delta.content] if one.choices and one.choices[0].delta.content else []
    return pieces


async def test_agents_that_talk_are_models(box: Box, face: str, far: Server) -> None:
    async with client(face) as who:
        found = [(one.id, one.owned_by) async for one in who.models.list()]
        assert found == [("far", "openai")]
        assert (await who.models.retrieve("far")).id == "far"
        with pytest.raises(openai.NotFoundError, match="there are: far"):
            await who.models.retrieve("nobody")
    key = await box.key("ann", ("far__*",))
    async with client(face, key) as ann:
        assert [one.id async for one in ann.models.list()] == ["far"]
        with pytest.raises(openai.NotFoundError):
            await say(ann, "all__echo", user("hi"))
    async with client(face, "dk_wrong") as nobody:
        with pytest.raises(openai.AuthenticationError):
            await say(nobody, "far", user("hi"))


async def test_an_answer_whole_and_streamed(face: str) -> None:
    async with client(face) as who:
        assert await say(who, "all__echo", user("By George!")) == "By George!"
        assert "".join(await streamed(who, "all__echo", user("By George!"))) == "By George!"
        content: Any = [{"type": "text", "text": "two"}, {"type": "text", "text": "parts"}]
        assert await say(who, "all__echo", {"role": "user", "content": content}) == "two\nparts"


async def test_of_a_known_history_only_what_is_new_is_said(face: str) -> None:
    """The client sends all of it, and names no conversation; streaming or not."""
    async with client(face) as who:
        first = await say(who, "all__remember", user("one"))
        heard = [user("one"), {"role": "assistant", "content": first}, user("two")]
        second = "".join(await streamed(who, "all__remember", *heard))
        assert second == "one two"
        third = [*heard, {"role": "assistant", "content": second}, user("three")]
        assert await say(who, "all__remember", *third) == "one two three"


async def test_who_goes_back_begins_anew_and_is_told_all(face: str) -> None:
    """Each history is good for one next message: two branches do not read each other."""
    async with client(face) as who:
        first = await say(who, "all__remember", user("one"))
        before = [user("one"), {"role": "assistant", "content": first}]
        assert await say(who, "all__remember", *before, user("two")) == "one two"
        other = await say(who, "all__remember", *before, user("zwei"))
        assert other == "What was said before:\nuser: one\nassistant: one\n\nzwei"


async def test_a_history_is_its_callers_own(box: Box, face: str) -> None:
    ann, bob = await box.key("ann"), await box.key("bob")
    before = [user("one"), {"role": "assistant", "content": "one"}]
    async with client(face, ann) as who:
        assert await say(who, "all__remember", user("one")) == "one"
    async with client(face, bob) as who:
        assert "What was said before" in await say(who, "all__remember", *before, user("two"))
    async with client(face, ann) as who:
        assert await say(who, "all__remember", *before, user("two")) == "one two"


async def test_a_conversation_may_be_named(face: str) -> None:
    named = {"doolittle-conversation": "tea"}
    async with client(face, **named) as who:
        assert await say(who, "all__remember", user("one")) == "one"
        assert await say(who, "all__remember", user("whatever"), user("two")) == "one two"


async def test_what_the_client_demands_of_the_model_is_told_once(face: str) -> None:
    async with client(face) as who:
        said = await say(who, "all__echo", {"role": "system", "content": "Be brief."}, user("hi"))
        assert said == "Be brief.\n\nhi"


async def test_a_failed_message_leaves_its_history_good(box: Box, face: str) -> None:
    async with client(face) as who:
        first = await say(who, "all__remember", user("one"))
        before = [user("one"), {"role": "assistant", "content": first}]
        world(URL).outage(True)
        with pytest.raises(openai.InternalServerError):
            await say(who, "all__remember", *before, user("two"))
        world(URL).outage(False)
        await box.refresh("behind")
        assert await say(who, "all__remember", *before, user("two")) == "one two"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_question_is_answered_by_the_next_message(face: str, *, stream: bool) -> None:
    async def tell(who: AsyncOpenAI, *messages: Any) -> str:
        return "".join(await streamed(who, "all__ask", *messages)) if stream else await say(who, "all__ask", *messages)

    async with client(face) as who:
        asked = await tell(who, user("Good day"))
        assert asked.endswith("(name)")
        answered = await tell(who, user("Good day"), {"role": "assistant", "content": asked}, user("Freddy"))
        assert answered == "Good day, Freddy"


@pytest.mark.parametrize("stream", [False, True])
async def test_who_hangs_up_stops_the_far_side(face: str, far: Server, *, stream: bool) -> None:
    async with client(face) as who:
        call = streamed(who, "far", user("!hang")) if stream else say(who, "far", user("!hang"))
        task = asyncio.create_task(call)
        await until(lambda: far.running == 1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await until(lambda: far.running == 0)


async def until(holds: Any) -> None:
    for _ in range(1000):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("never happened")


async def test_what_only_a_model_can_take_is_refused_elsewhere(face: str) -> None:
    picture: Any = [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"tools": TOOLS}, "'tools' cannot be given to this agent: it is of the network 'fake'"),
        ({"response_format": {"type": "json_object"}}, "'response_format' cannot be given"),
        ({"n": 2}, "'n' is 1"),
        ({"messages": [{"role": "user", "content": picture}]}, "takes messages of text alone"),
        ({"messages": [user("hi"), {"role": "assistant", "content": "ho"}]}, "the last message is a user's"),
        ({"messages": [user(" ")]}, "the last message is a user's"),
        ({"messages": []}, "'messages' is a list"),
        ({"messages": [{"role": "king", "content": "x"}]}, "a message has a 'role'"),
        ({"model": ""}, "'model' is the name of an agent"),
    ]
    async with client(face) as who:
        for said, reason in wrong:
            given: Any = {"model": "all__echo", "messages": [user("hi")], **said}
            with pytest.raises(openai.BadRequestError) as caught:
                await who.chat.completions.create(**given)
            body: Any = caught.value.body
            assert reason in body["message"]
            assert body["type"] == "invalid_request_error"
    with pytest.raises(openai.NotFoundError, match="does not talk"):
        async with client(face) as who:
            await say(who, "all__add", user("1"))


async def test_garbage_is_a_clear_error(face: str) -> None:
    async with httpx2.AsyncClient(base_url=face) as http:
        for raw in (b"", b"{", b"[]", b'{"model": 5}', b'{"model": "all", "messages": 5}'):
            headers = {"content-type": "application/json"}
            answer = await http.post("/v1/chat/completions", content=raw, headers=headers)
            assert answer.status_code == 400
            assert answer.json()["error"]["message"]


async def test_models_of_this_network_take_all_that_the_client_says(face: str, far: Server) -> None:
    """Tools, history, settings; and their answer comes back as it is."""
    history: Any = [{"role": "system", "content": "s"}, user("one"), {"role": "assistant", "content": "o"}, user("two")]
    async with client(face) as who:
        assert await say(who, "far", *history, tools=TOOLS, temperature=0.5) == "two"
        sent = far.bodies[-1]
        assert sent["messages"] == history
        assert (sent["tools"], sent["temperature"], sent["model"], sent["stream"]) == (TOOLS, 0.5, "small", True)
        assert await streamed(who, "far", user("!count 3"), stream_options={"include_usage": True}) == [
            "1 ",
            "2 ",
            "3 ",
        ]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_call_of_a_tool_comes_back(box: Box, face: str, *, stream: bool) -> None:
    """As the model made it, in pieces or whole."""
    sing = {"name": "sing", "arguments": '{"a'}
    pieces = [
        {"tool_calls": [{"index": 0, "id": "t1", "type": "function", "function": sing}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '": 1}'}}]},
    ]
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    chunks = [{"choices": [{"index": 0, "delta": piece}]} for piece in pieces]
    chunks += [{"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}, {"choices": [], "usage": usage}]
    said = b"".join(b"data: %b\n\n" % orjson.dumps({"id": "c", "model": "m", "created": 1, **c}) for c in chunks)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = b'{"data": [{"id": "m"}]}' if scope["path"].endswith("models") else said + b"data: [DONE]\n\n"
        kind = b"application/json" if scope["path"].endswith("models") else b"text/event-stream"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
        await send({"type": "http.response.body", "body": body})

    async with serving(app) as (url, _), client(face) as who:
        await box.add(Upstream("far", "openai", url))
        if not stream:
            whole = await who.chat.completions.create(model="far", messages=[user("sing")], tools=TOOLS)
            call: Any = (whole.choices[0].message.tool_calls or [])[0]
            end, used = whole.choices[0].finish_reason, whole.usage
        else:
            async with who.chat.completions.stream(
                model="far", messages=[user("sing")], tools=TOOLS, stream_options={"include_usage": True}
            ) as events:
                final: Any = await events.get_final_completion()
            call, end, used = final.choices[0].message.tool_calls[0], final.choices[0].finish_reason, final.usage
        assert (call.id, call.function.name, call.function.arguments) == ("t1", "sing", '{"a": 1}')
        assert end == "tool_calls"
        assert used is not None
        assert used.total_tokens == 3


@pytest.mark.parametrize("stream", [False, True])
async def test_errors_of_the_far_side_arrive(face: str, far: Server, *, stream: bool) -> None:
    async with client(face) as who:
        with pytest.raises(openai.APIError, match="not on a Sunday"):
            await who.chat.completions.create(model="far", messages=[user("!refuse")], stream=stream)
        with pytest.raises(openai.APIError, match="later"):
            await who.chat.completions.create(model="far", messages=[user("!full")], stream=stream)


async def test_each_error_has_a_type_that_clients_know() -> None:
    for kind in KINDS.values():
        error: GatewayError = kind("no")
        said = translate.fault(error)["error"]
        assert said["type"] in {*translate.TYPES.values(), "server_error"}
        assert said["code"] == ("model_not_found" if kind.code == "unknown" else kind.code)


async def test_the_chain_is_kept_and_cut(face: str) -> None:
    passed = hops.write((Hop("outer", "somebody", "somebody__ask"),))
    async with client(face, **{"doolittle-hops": passed}) as who:
        await say(who, "all__echo", user("x"))
    (seen,) = world(URL).hops.values()
    assert hops.read(seen)[0].call == "outer"
    async with client(face, **{"doolittle-hops": seen}) as who:
        with pytest.raises(openai.ConflictError, match="all__echo"):
            await say(who, "all__echo", user("x"))


async def test_sixty_four_at_once(face: str) -> None:
    async with client(face) as who:
        answers = await asyncio.gather(*(say(who, "all__echo", user(f"n{n}")) for n in range(64)))
        assert answers == [f"n{n}" for n in range(64)]
