"""Questions of MCP servers: asked live (2025) and in results (2026), answered, declined, left alone, out of order."""

import asyncio
from collections import Counter
from typing import Any

import orjson
import pytest

from adapters.spi import Error, Form, Progress, Result, Sampling, Visit
from tests.adapters.mcp.house import House, until
from tests.adapters.mcp.raw import Exchange, Raw

HANDSHAKE, MODERN = {"era": "handshake"}, {"era": "modern"}
FORM = {"message": "Name?", "requestedSchema": {"type": "object", "properties": {"n": {"type": "string"}}}}
URL = {"mode": "url", "message": "Log in", "url": "https://example.com/login", "elicitationId": "e1"}
SAMPLING = {"messages": [{"role": "user", "content": {"type": "text", "text": "hi"}}], "maxTokens": 5}
SAMPLED = {"role": "assistant", "content": {"type": "text", "text": "ho"}, "model": "m"}
BAD_PARAMS: list[Any] = [[1], 5, "text"]


class Asking:
    """Answers each call with a question on its stream, and then with what came back."""

    def __init__(self, raw: Raw) -> None:
        self.raw = raw
        self.asked = 0
        self.wanted: list[tuple[str, Any]] = []
        """Method and parameters of each question, in order; the last one again and again."""
        raw.on["tools/call"] = self

    def answer(self, id: str) -> Any:
        return next((m.get("result", m.get("error")) for m in self.raw.said if m.get("id") == id), None)

    async def __call__(self, x: Exchange) -> None:
        await x.stream()
        gone = asyncio.create_task(x.hung_up())
        said: list[Any] = []
        for method, params in self.wanted:
            self.asked += 1
            own = f"q{self.asked}"
            await x.event({"jsonrpc": "2.0", "id": own, "method": method, "params": params})
            while self.answer(own) is None and not gone.done():
                await asyncio.sleep(0.005)
            said.append(self.answer(own))
        if not gone.done():
            await x.event(x.text(orjson.dumps(said).decode()))
        gone.cancel()


def told(event: Any) -> Any:
    assert isinstance(event, Result), event
    return orjson.loads(event.text)


@pytest.fixture
def asking(raw: Raw) -> Asking:
    return Asking(raw)


async def test_asked_live_and_answered_in_every_way(house: House, raw: Raw, asking: Asking) -> None:
    await house.add(raw.url, options=HANDSHAKE)
    for (method, params), kind, given, expected in (
        (("elicitation/create", FORM), Form, {"n": "Ada"}, {"action": "accept", "content": {"n": "Ada"}}),
        (("elicitation/create", FORM), Form, None, {"action": "decline"}),
        (("elicitation/create", FORM), Form, ..., {"action": "cancel"}),
        (("elicitation/create", URL), Visit, True, {"action": "accept"}),
        (("elicitation/create", URL), Visit, None, {"action": "decline"}),
        (("elicitation/create", URL), Visit, ..., {"action": "cancel"}),
        (("sampling/createMessage", SAMPLING), Sampling, SAMPLED, SAMPLED),
        (("sampling/createMessage", SAMPLING), Sampling, None, {"code": -1, "message": "the caller declined"}),
        (("sampling/createMessage", SAMPLING), Sampling, ..., {"code": -1, "message": "the caller declined"}),
    ):
        asking.wanted = [(method, params)]
        asked = await house.ask()
        (request,) = asked[1].requests
        assert isinstance(request, kind)
        values = {} if given is ... else {request.id: given}
        assert told(await house.answer(asked, values)) == [expected]
    assert len(house.far._parking) == 0


async def test_asked_twice_in_one_call(house: House, raw: Raw, asking: Asking) -> None:
    await house.add(raw.url, options=HANDSHAKE)
    asking.wanted = [("elicitation/create", FORM), ("elicitation/create", FORM)]
    call, ask = await house.ask()
    again = await house.last(house.call(answer=_answer(ask, {"n": "1"})))
    found = await house.last(house.call(answer=_answer(again, {"n": "2"})))
    assert [a["content"]["n"] for a in told(found)] == ["1", "2"]
    assert raw.count["tools/call"] == 1
    assert call.tool == "far__say"


def _answer(ask: Any, value: Any) -> Any:
    from adapters.spi import Answer

    return Answer(ask.token, {r.id: value for r in ask.requests})


async def test_who_cannot_answer_is_not_asked(house: House, raw: Raw, asking: Asking) -> None:
    """The far side is refused at once, and goes on."""
    await house.add(raw.url, options=HANDSHAKE)
    asking.wanted = [
        ("elicitation/create", FORM), ("elicitation/create", URL), ("sampling/createMessage", SAMPLING),
        ("roots/list", {}), ("made/up", {}), ("ping", {}),
        *(("elicitation/create", params) for params in BAD_PARAMS),
        *(("sampling/createMessage", params) for params in BAD_PARAMS),
    ]  # fmt: skip
    said = told(await house.last(house.call(answers=frozenset())))
    codes = [one.get("code") for one in said]
    assert codes == [-32600, -32600, -32600, -32601, -32601, None] + [-32602] * 6
    assert "'form'" in said[0]["message"]
    asking.wanted = [("sampling/createMessage", SAMPLING), ("elicitation/create", FORM)]
    asked = await house.ask(answers=frozenset({"form"}))
    assert isinstance(asked[1].requests[0], Form)
    found = told(await house.answer(asked, {asked[1].requests[0].id: {"n": "Ada"}}))
    assert (found[0]["code"], found[1]["action"]) == (-32600, "accept")


async def test_a_question_that_nobody_answers_in_time(house: House, raw: Raw, asking: Asking) -> None:
    """The stream that waits is closed, the far side is told, and the answer that comes later is refused."""
    await house.add(raw.url, options=HANDSHAKE)
    asking.wanted = [("elicitation/create", FORM)]
    house.far._parking._seconds = 0.05
    asked = await house.ask()
    await until(lambda: len(house.far._parking) == 0, "the place is free again")
    await until(lambda: any(m.get("method") == "notifications/cancelled" for m in raw.said), "the far side is told")
    found = await house.answer(asked, {asked[1].requests[0].id: {"n": "Ada"}})
    assert isinstance(found, Error)
    assert found.error.code == "expired"


async def test_no_place_for_another_question(house: House, raw: Raw, asking: Asking) -> None:
    await house.add(raw.url, options=HANDSHAKE)
    asking.wanted = [("elicitation/create", FORM)]
    house.far._parking._places = 1
    first = await house.ask()
    error = await house.fault()
    assert error.code == "full"
    assert error.retry_after
    await until(lambda: any(m.get("method") == "notifications/cancelled" for m in raw.said), "the far side is told")
    assert told(await house.answer(first, {first[1].requests[0].id: {"n": "Ada"}}))[0]["action"] == "accept"
    second = await house.ask()
    assert told(await house.answer(second, {}))[0] == {"action": "cancel"}


async def test_questions_open_when_the_gateway_closes(house: House, raw: Raw, asking: Asking) -> None:
    """Nothing of them is left: the fixture counts."""
    await house.add(raw.url, options=HANDSHAKE)
    asking.wanted = [("elicitation/create", FORM)]
    for _ in range(5):
        await house.ask()
    assert len(house.far._parking) == 5


# ---- in results --------------------------------------------------------------------------------------------------


def required(x: Exchange, requests: Any = None, state: Any = None) -> dict[str, Any]:
    said = {"resultType": "input_required", "inputRequests": requests, "requestState": state}
    return x.reply({key: value for key, value in said.items() if value is not None})


async def test_several_questions_in_one_result(house: House, raw: Raw) -> None:
    seen: list[dict[str, Any]] = []

    async def call(x: Exchange) -> None:
        seen.append(x.params)
        wanted = {
            "a": {"method": "elicitation/create", "params": FORM}, "b": {"method": "elicitation/create", "params": URL},
            "c": {"method": "sampling/createMessage", "params": SAMPLING},
            "d": {"method": "elicitation/create", "params": FORM},
        }  # fmt: skip
        await x.json(x.text("done") if "inputResponses" in x.params else required(x, wanted, "state 1"))

    raw.modern, raw.on["tools/call"] = True, call
    await house.add(raw.url, options=MODERN)
    asked = await house.ask("job")
    assert [type(r) for r in asked[1].requests] == [Form, Visit, Sampling, Form]
    found = await house.answer(asked, {"a": {"n": "Ada"}, "b": None, "c": SAMPLED})
    assert isinstance(found, Result)
    assert found.text == "done"
    assert seen[1]["requestState"] == "state 1"
    assert seen[1]["arguments"] == {"text": "job"}
    assert seen[1]["inputResponses"] == {
        "a": {"action": "accept", "content": {"n": "Ada"}}, "b": {"action": "decline"}, "c": SAMPLED,
        "d": {"action": "cancel"},
    }  # fmt: skip


async def test_who_puts_off_its_answer(house: House, raw: Raw) -> None:
    rounds: Counter[Any] = Counter()

    async def call(x: Exchange) -> None:
        text, state = x.params["arguments"]["text"], x.params.get("requestState", 0)
        rounds[text] += 1
        await x.json(x.text(f"after {state}") if state >= int(text) else required(x, None, state + 1))

    raw.modern, raw.on["tools/call"] = True, call
    await house.add(raw.url, options=MODERN)
    assert await house.text("3") == "after 3"
    assert await house.text("19") == "after 19"
    error = await house.fault("21")
    assert error.code == "broken"
    assert rounds["21"] == 20


@pytest.mark.parametrize("requests", [
    {"a": {"method": "made/up", "params": {}}}, {"a": {"method": ["x"], "params": {}}}, {"a": 1}, {"a": {}}, [1],
    "text", {"a": {"method": "elicitation/create", "params": 5}}, {}, None,
])  # fmt: skip
async def test_questions_that_nobody_knows(house: House, raw: Raw, requests: Any) -> None:
    async def call(x: Exchange) -> None:
        await x.json(required(x, requests))

    raw.modern, raw.on["tools/call"] = True, call
    await house.add(raw.url, options=MODERN)
    assert (await house.fault("job")).code == "broken"
    assert raw.delivered["job"] == 1


async def test_questions_beyond_what_was_offered(house: House, raw: Raw) -> None:
    seen: list[Any] = []

    async def call(x: Exchange) -> None:
        seen.append(x.params["_meta"]["io.modelcontextprotocol/clientCapabilities"])
        await x.json(required(x, {"a": {"method": "sampling/createMessage", "params": SAMPLING}}))

    raw.modern, raw.on["tools/call"] = True, call
    await house.add(raw.url, options=MODERN)
    error = await house.fault(answers=frozenset({"form"}))
    assert error.code == "refused"
    assert "sampling" in error.public
    assert seen == [{"elicitation": {"form": {}}}]


# ---- beside calls ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [HANDSHAKE, MODERN], ids=["handshake", "modern"])
async def test_log_lines_are_progress(house: House, raw: Raw, options: Any) -> None:
    lines = [{"level": "warning", "logger": "db", "data": {"slow": 1}}, {"level": "info", "data": "text"}, {}]

    async def call(x: Exchange) -> None:
        await x.stream(*({"jsonrpc": "2.0", "method": "notifications/message", "params": line} for line in lines))
        await x.event({"jsonrpc": "2.0", "method": "notifications/message", "params": 5})
        await x.event({"jsonrpc": "2.0", "method": "notifications/unheard_of", "params": {}})
        await x.event(x.text())

    raw.modern, raw.on["tools/call"] = options is MODERN, call
    await house.add(raw.url, options=options)
    *before, last = await house.events(house.call())
    assert isinstance(last, Result)
    found = [event for event in before if isinstance(event, Progress)]
    assert [orjson.loads(event.raw or b"") for event in found] == lines
    assert found[0].message == 'warning: {"slow":1}'
    assert found[1].message == "info: text"


@pytest.mark.parametrize("options", [HANDSHAKE, MODERN], ids=["handshake", "modern"])
async def test_other_methods_go_to_the_server(house: House, raw: Raw, options: Any) -> None:
    said: dict[str, Any] = {
        "resources/list": {"resources": [{"uri": "a://b", "name": "b"}]}, "prompts/list": {"prompts": []},
        "resources/read": {"contents": [{"uri": "a://b", "text": "x"}]},
        "prompts/get": {"messages": []}, "completion/complete": {"completion": {"values": ["x"]}},
    }  # fmt: skip
    seen: list[Exchange] = []

    async def other(x: Exchange) -> None:
        seen.append(x)
        await x.json(x.reply({**said[x.message["method"]], "resultType": "complete"}))

    raw.modern = options is MODERN
    raw.on |= dict.fromkeys(said, other)
    await house.add(raw.url, options=options)
    for method, expected in said.items():
        found = await house.last(house.call(tool="far", method=method, arguments={"uri": "a://b", "name": "n"}))
        assert isinstance(found, Result), (method, found)
        assert orjson.loads(found.raw or b"") == expected
    if raw.modern:
        assert [x.headers["mcp-method"] for x in seen] == list(said)
    error = await house.last(house.call(tool="far", method="made/up", arguments={}))
    assert isinstance(error, Error)
    assert error.error.code in ("refused", "bad_arguments", "unknown")
