"""Sessions that are lost, streams that break off, lists that have no end, and eras that change, over HTTP."""

import asyncio
from typing import Any

import pytest

from adapters.spi import Progress
from tests.adapters.mcp.house import House, until
from tests.adapters.mcp.raw import TOOL, Exchange, Raw, Script

HANDSHAKE = {"era": "handshake"}
LIST_CHANGED = {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}


def progress(x: Exchange, number: int, token: Any = None) -> dict[str, Any]:
    token = x.params["_meta"]["progressToken"] if token is None else token
    said = {"progressToken": token, "progress": number, "message": x.params["arguments"]["text"]}
    return {"jsonrpc": "2.0", "method": "notifications/progress", "params": said}


def sessions(raw: Raw, answer: Script | None = None) -> None:
    """Each initialize gives a new session; calls of another are not taken."""

    async def initialize(x: Exchange) -> None:
        raw.session = f"s{raw.count['initialize']}"
        await raw._well(x)

    async def call(x: Exchange) -> None:
        if not raw.modern and x.headers.get("mcp-session-id") != raw.session:
            raw.delivered[x.params["arguments"]["text"]] -= 1
            await x.send(b"<html>no such session</html>", 404, "text/html")
        else:
            await (answer or raw._well)(x)

    raw.on |= {"initialize": initialize, "tools/call": call}


async def test_a_lost_session_is_opened_once_for_all(house: House, raw: Raw) -> None:
    sessions(raw)
    await house.add(raw.url, options=HANDSHAKE)
    assert raw.count["initialize"] == 1
    raw.session = "none of theirs"
    said = await asyncio.gather(*(house.text(f"call {n}") for n in range(20)))
    assert said == [f"call {n}" for n in range(20)]
    assert raw.count["initialize"] == 2
    assert set(raw.delivered.values()) == {1}


async def test_a_session_that_is_lost_twice(house: House, raw: Raw) -> None:
    sessions(raw)
    await house.add(raw.url, options=HANDSHAKE)

    async def never(x: Exchange) -> None:
        await x.send(b"", 404)

    kept, raw.on["tools/call"] = raw.on["tools/call"], never
    error = await house.fault()
    assert (error.code, error.delivered) == ("connect_failed", "no")
    assert raw.count["tools/call"] == 2
    raw.on["tools/call"] = kept
    assert await house.text() == "ok"


async def test_a_session_that_cannot_be_opened_again(house: House, raw: Raw) -> None:
    sessions(raw)
    await house.add(raw.url, options=HANDSHAKE)
    raw.session = "none of theirs"
    opens = raw.on["initialize"]

    async def refuses(x: Exchange) -> None:
        await x.send(b"", 503)

    raw.on["initialize"] = refuses
    for fault in await asyncio.gather(*(house.fault() for _ in range(5))):
        assert (fault.code, fault.delivered) == ("connect_failed", "no")
    raw.on["initialize"] = opens
    assert await house.text() == "ok"


@pytest.mark.parametrize("version", ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"])
async def test_a_server_without_sessions(house: House, raw: Raw, version: str) -> None:
    raw.session, raw.version = "", version
    seen: list[dict[str, str]] = []

    async def call(x: Exchange) -> None:
        seen.append(x.headers)
        await raw._well(x)

    raw.on["tools/call"] = call
    await house.add(raw.url)
    assert await house.text() == "ok"
    assert seen[0]["mcp-protocol-version"] == version
    assert "mcp-session-id" not in seen[0]
    assert raw.count["DELETE"] == 0


# ---- streams that break off --------------------------------------------------------------------------------------


async def test_a_stream_is_taken_up_where_it_broke(house: House, raw: Raw) -> None:
    calls: list[Exchange] = []
    asked: list[str] = []

    async def call(x: Exchange) -> None:
        calls.append(x)
        await x.stream()
        await x.event(progress(x, 1), "e1", "1")

    async def again(x: Exchange) -> None:
        if not calls:
            await x.send(b"", 405)
            return
        asked.append(x.headers.get("last-event-id", ""))
        await x.stream()
        if len(asked) == 1:
            await x.event(progress(calls[0], 2), "e2")
        else:
            await x.event(calls[0].text("whole"), "e3")

    raw.on |= {"tools/call": call, "GET": again}
    await house.add(raw.url, options=HANDSHAKE)
    *before, last = await house.events(house.call("job"))
    assert [e.done for e in before if isinstance(e, Progress)] == [1, 2]
    assert getattr(last, "text", last) == "whole"
    assert asked == ["e1", "e2"]
    assert raw.delivered["job"] == 1


async def test_a_stream_is_not_taken_up_for_ever(house: House, raw: Raw) -> None:
    begun = asyncio.Event()

    async def call(x: Exchange) -> None:
        begun.set()
        await x.stream(b"id: e1\nretry: 1\n\n")

    async def again(x: Exchange) -> None:
        await (x.stream() if begun.is_set() else x.send(b"", 405))

    raw.on |= {"tools/call": call, "GET": again}
    await house.add(raw.url, options=HANDSHAKE)
    before = raw.count["GET"]
    error = await house.fault("job")
    assert (error.code, error.delivered) == ("connect_failed", "unknown")
    assert raw.count["GET"] - before == 3
    assert raw.delivered["job"] == 1


async def test_no_stream_to_take_up(house: House, raw: Raw) -> None:
    async def call(x: Exchange) -> None:
        await x.stream(b"id: e1\nretry: 1\n\n")

    raw.on["tools/call"] = call
    await house.add(raw.url, options=HANDSHAKE)
    error = await house.fault()
    assert (error.code, error.delivered) == ("connect_failed", "unknown")


async def test_progress_of_two_calls_does_not_mix(house: House, raw: Raw) -> None:
    """Neither on their own streams, nor on the stream that belongs to none."""
    both: list[Exchange] = []
    listeners: list[Exchange] = []

    async def listen(x: Exchange) -> None:
        await x.stream()
        listeners.append(x)
        await x.hung_up()

    async def call(x: Exchange) -> None:
        both.append(x)
        await x.stream()
        while len(both) < 2:
            await asyncio.sleep(0.005)
        other = next(o for o in both if o is not x)
        for token in (other.params["_meta"]["progressToken"], "1", [1], {}, True, 10**9):
            await x.event(progress(x, 9, token))
        await listeners[0].event(progress(x, 1))
        await listeners[0].event(progress(x, 9, [1]))
        await x.event(progress(x, 2))
        await asyncio.sleep(0.05)
        await x.event(x.text())

    raw.on |= {"tools/call": call, "GET": listen}
    await house.add(raw.url, options=HANDSHAKE)
    await until(lambda: bool(listeners), "the stream of notifications is open")
    for found, text in zip(
        await asyncio.gather(house.events(house.call("a")), house.events(house.call("b"))), "ab", strict=True
    ):
        said = sorted((e.message, e.done) for e in found if isinstance(e, Progress))
        assert said == [(text, 1), (text, 2)]


# ---- lists -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["circle", "without end", "rubbish"])
async def test_lists_that_are_none_take_nothing_away(house: House, raw: Raw, kind: str) -> None:
    await house.add(raw.url, options=HANDSHAKE)
    assert [t.native for t in house.box.tools("far")] == ["say"]

    async def pages(x: Exchange) -> None:
        number = raw.count["tools/list"]
        cursor = {"circle": str(number % 3), "without end": str(number), "rubbish": 7}[kind]
        tools = "rubbish" if kind == "rubbish" else [{**TOOL, "name": f"t{number}"}]
        await x.json(x.reply({"tools": tools, "nextCursor": cursor}))

    raw.on["tools/list"] = pages
    before = raw.count["tools/list"]
    assert await house.box.refresh("far") is False
    assert raw.count["tools/list"] - before <= 101
    assert house.box.degraded("far")
    del raw.on["tools/list"]
    assert await house.box.refresh("far")
    assert [t.native for t in house.box.tools("far")] == ["say"]
    assert await house.text() == "ok"


async def test_members_of_a_list_that_are_no_tools_are_left_out(house: House, raw: Raw) -> None:
    raw.tools = [TOOL, {}, 1, None, {"name": ""}, {"name": 1}, {"name": "x" * 5000}, {"name": "b", "inputSchema": 1},
                 {"name": "c", "inputSchema": {"type": "nonsense"}}, TOOL]  # fmt: skip
    await house.add(raw.url, options=HANDSHAKE)
    assert {"say", "b"} <= {t.native for t in house.box.tools("far")}
    assert await house.text() == "ok"


@pytest.mark.parametrize("modern", [False, True], ids=["handshake", "modern"])
async def test_tools_change_in_the_middle_of_calls(house: House, raw: Raw, modern: bool) -> None:
    raw.modern, raw.capabilities = modern, {"tools": {"listChanged": True}}
    listeners: list[Exchange] = []
    go = asyncio.Event()

    async def listen(x: Exchange) -> None:
        await x.stream()
        listeners.append(x)
        await x.hung_up()

    async def call(x: Exchange) -> None:
        await go.wait()
        await x.json(x.text())

    raw.on |= {"subscriptions/listen" if modern else "GET": listen, "tools/call": call}
    await house.add(raw.url, options={"era": "modern" if modern else "handshake"})
    await until(lambda: bool(listeners), "the stream of changes is open")
    calls = [asyncio.create_task(house.text()) for _ in range(5)]
    await until(lambda: raw.count["tools/call"] == 5, "the calls arrive")
    raw.tools = [{**TOOL, "name": "other"}]
    for _ in range(100):
        await listeners[0].event(LIST_CHANGED)
    await until(lambda: "other" in {t.native for t in house.box.tools("far")}, "the new tool is listed")
    go.set()
    assert await asyncio.gather(*calls) == ["ok"] * 5
    assert await house.text(tool="far__other") == "ok"
    assert raw.count["tools/list"] < 50, "a hundred changes at once are not a hundred lists"


# ---- eras --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["2031-01-01", "", None, 5, ["2025-11-25"], "2025-11-25" * 100])
async def test_a_version_that_nobody_knows(house: House, raw: Raw, version: Any) -> None:
    raw.version = version
    await house.add(raw.url, options=HANDSHAKE)
    assert "speaks" in (house.box.degraded("far") or "")
    assert len(house.box.degraded("far") or "") < 200
    raw.version = "2025-11-25"
    assert await house.box.refresh("far")
    assert await house.text() == "ok"


DISCOVERED: list[Any] = [
    {}, {"supportedVersions": "2026-07-28"}, {"supportedVersions": [1, None]}, {"supportedVersions": ["2031-01-01"]},
    {"supportedVersions": 1}, {"supportedVersions": {"2026-07-28": 1}},
]  # fmt: skip


@pytest.mark.parametrize("found", DISCOVERED)
async def test_garbage_on_discover_is_the_other_era(house: House, raw: Raw, found: Any) -> None:
    async def discover(x: Exchange) -> None:
        await x.json(x.reply(found))

    raw.on["server/discover"] = discover
    await house.add(raw.url)
    assert await house.text() == "ok"
    assert raw.count["initialize"] == 1


@pytest.mark.parametrize("code", [200, 202, 400, 404, 405, 406, 500])
async def test_pages_on_discover_are_the_other_era(house: House, raw: Raw, code: int) -> None:
    async def discover(x: Exchange) -> None:
        await x.send(b"<html></html>", code, "text/html")

    raw.on["server/discover"] = discover
    await house.add(raw.url)
    assert await house.text() == "ok"


GARBAGE: list[Any] = [
    {"supportedVersions": ["2026-07-28"], "capabilities": 1, "_meta": 1, "instructions": []},
    {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, "_meta": {
        "io.modelcontextprotocol/serverInfo": []}},
]  # fmt: skip


@pytest.mark.parametrize("found", GARBAGE)
async def test_what_a_modern_server_says_of_itself_may_be_rubbish(house: House, raw: Raw, found: Any) -> None:
    async def discover(x: Exchange) -> None:
        await x.json(x.reply(found))

    raw.modern = True
    raw.on["server/discover"] = discover
    await house.add(raw.url)
    assert house.box.degraded("far") is None


@pytest.mark.parametrize("supported", [["2025-11-25"], ["2031-01-01"], 5, None, "2025-11-25"])
async def test_discover_refused_for_its_version(house: House, raw: Raw, supported: Any) -> None:
    async def discover(x: Exchange) -> None:
        await x.json(x.error(-32022, "unsupported", data={"supported": supported}), 400)

    raw.on["server/discover"] = discover
    await house.add(raw.url)
    assert (house.box.degraded("far") is None) == (supported == ["2025-11-25"])


async def test_the_era_may_change_at_a_restart(house: House, raw: Raw) -> None:
    async def gone(x: Exchange) -> None:
        await x.send(b"", 405)

    raw.session = "s1"
    await house.add(raw.url)
    assert await house.text() == "ok"
    await raw.close()
    assert not await house.box.refresh("far")
    raw.modern, raw.on["initialize"] = True, gone
    await raw.open()
    assert await house.box.refresh("far")
    assert await house.text() == "ok"
    await raw.close()
    assert not await house.box.refresh("far")
    raw.modern = False
    del raw.on["initialize"]
    await raw.open()
    assert await house.box.refresh("far")
    assert await house.text() == "ok"


async def test_the_era_may_change_behind_an_open_connection(house: House, raw: Raw) -> None:
    """No outage is seen: the first call fails, and the list after it finds the other era."""
    sessions(raw)
    await house.add(raw.url)
    raw.modern, raw.session = True, "none of theirs"
    assert await house.text() == "ok", "a session that is gone is opened anew, in whichever era"
