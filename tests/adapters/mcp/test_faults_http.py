"""Whatever an MCP server does over HTTP: the call ends once, as what it was, and the next one works."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest

from tests.adapters.mcp.house import House, until
from tests.adapters.mcp.raw import Exchange, Raw

Script = Callable[[Exchange], Awaitable[None]]
HANDSHAKE = {"era": "handshake"}


def progress(x: Exchange, number: int, message: str = "") -> dict[str, Any]:
    token = x.params["_meta"]["progressToken"]
    said = {"progressToken": token, "progress": number, "message": message}
    return {"jsonrpc": "2.0", "method": "notifications/progress", "params": said}


# ---- answers that are none ---------------------------------------------------------------------------------------


async def reset_at_once(x: Exchange) -> None:
    x.reset()


async def reset_in_json(x: Exchange) -> None:
    await x.send(b'{"jsonrpc":', length=500)
    x.reset()


async def reset_in_stream(x: Exchange) -> None:
    await x.stream(progress(x, 1))
    x.reset()


async def close_at_once(x: Exchange) -> None:
    x.open = False


async def says_too_long(x: Exchange) -> None:
    await x.send(orjson.dumps(x.text()), length=5000)
    x.open = False


async def says_too_short(x: Exchange) -> None:
    await x.send(orjson.dumps(x.text()), length=20)
    x.open = False


async def stream_ends(x: Exchange) -> None:
    await x.stream(progress(x, 1))


async def stream_of_rubbish(x: Exchange) -> None:
    await x.stream("no json")


async def stream_of_binary(x: Exchange) -> None:
    await x.stream(b"data: \xff\xfe\x00\n\n")


async def event_of_20_mb(x: Exchange) -> None:
    await x.stream(b"data: " + b"x" * (20 << 20) + b"\n\n", x.text())


async def json_of_20_mb(x: Exchange) -> None:
    await x.send(b" " * (20 << 20))


async def stream_of_lists(x: Exchange) -> None:
    await x.stream([x.text()])


async def batch(x: Exchange) -> None:
    await x.json([x.text()])


async def wrong_id(x: Exchange) -> None:
    await x.json({**x.text(), "id": 10**6})


async def stream_of_wrong_id(x: Exchange) -> None:
    await x.stream({**x.text("another's"), "id": 10**6})


async def neither(x: Exchange) -> None:
    await x.json({"jsonrpc": "2.0", "id": x.id})


async def no_object(x: Exchange) -> None:
    await x.json(x.reply("text"))


async def no_content(x: Exchange) -> None:
    await x.json(x.reply({"content": "text"}))


async def error_of_rubbish(x: Exchange) -> None:
    await x.json({"jsonrpc": "2.0", "id": x.id, "error": "text"})


async def own_error(x: Exchange) -> None:
    await x.json(x.error(-32000, "quota"))


async def error_to_nobody(x: Exchange) -> None:
    await x.json({**x.error(-32600, "bad request"), "id": None}, 400)


async def rubbish(x: Exchange) -> None:
    await x.send(b"\x00\xff rubbish")


async def no_http(x: Exchange) -> None:
    await x.write(b"SSH-2.0-OpenSSH_9.9\r\n")
    x.open = False


async def empty(x: Exchange) -> None:
    await x.send(b"")


async def accepted(x: Exchange) -> None:
    await x.send(b"", 202)


def status(code: int, more: str = "") -> Script:
    async def page(x: Exchange) -> None:
        await x.send(b"<html><h1>No</h1></html>", code, "text/html", more=more)

    return page


CASES: list[tuple[Script, str, str]] = [
    (reset_at_once, "connect_failed", "unknown"),
    (reset_in_json, "connect_failed", "unknown"),
    (reset_in_stream, "connect_failed", "unknown"),
    (close_at_once, "connect_failed", "unknown"),
    (says_too_long, "connect_failed", "unknown"),
    (says_too_short, "broken", "yes"),
    (stream_ends, "connect_failed", "unknown"),
    (stream_of_rubbish, "broken", "yes"),
    (stream_of_binary, "broken", "yes"),
    (stream_of_lists, "broken", "yes"),
    (event_of_20_mb, "broken", "yes"),
    (json_of_20_mb, "broken", "yes"),
    (batch, "broken", "yes"),
    (wrong_id, "broken", "yes"),
    (stream_of_wrong_id, "connect_failed", "unknown"),
    (neither, "broken", "unknown"),
    (no_object, "broken", "yes"),
    (no_content, "broken", "yes"),
    (error_of_rubbish, "broken", "yes"),
    (own_error, "refused", "yes"),
    (error_to_nobody, "refused", "yes"),
    (rubbish, "broken", "yes"),
    (no_http, "connect_failed", "unknown"),
    (empty, "broken", "yes"),
    (accepted, "broken", "unknown"),
    (status(200), "broken", "yes"),
    (status(204), "broken", "unknown"),
    (status(401), "refused", "no"),
    (status(403), "refused", "no"),
    (status(404), "broken", "no"),
    (status(405), "broken", "no"),
    (status(429), "full", "no"),
    (status(500), "broken", "unknown"),
    (status(502), "connect_failed", "unknown"),
    (status(503), "connect_failed", "unknown"),
    (status(302, "location: /elsewhere\r\n"), "refused", "no"),
    (status(307, "location: http://169.254.169.254/latest\r\n"), "refused", "no"),
    (status(308, "location: http://127.0.0.1:1/mcp\r\n"), "refused", "no"),
]


@pytest.mark.parametrize("modern", [False, True], ids=["handshake", "modern"])
async def test_every_fault_ends_one_call_and_no_other(house: House, raw: Raw, modern: bool) -> None:
    raw.modern, raw.session = modern, ""
    await house.add(raw.url, options={"era": "modern" if modern else "handshake"})
    for number, (script, code, delivered) in enumerate(CASES):
        raw.on["tools/call"] = script
        said = f"{number} {script.__qualname__}"
        error = await house.fault(said)
        assert (error.code, error.delivered) == (code, delivered), f"{said}: {error!r} {error.detail}"
        assert raw.delivered[said] == 1, f"{said}: it was delivered more than once"
        assert not any(word in error.public for word in ("html", "rubbish", "Traceback", "\x00")), error.public
        raw.on.clear()
        assert await house.text(f"after {said}") == f"after {said}"
    assert raw.count["/elsewhere"] == 0
    assert house.box.degraded("far") is None


async def test_a_page_in_place_of_a_refusal_says_what_to_set(house: House, raw: Raw) -> None:
    await house.add(raw.url, options=HANDSHAKE)
    raw.on["tools/call"] = status(401)
    assert "set its key" in (await house.fault()).public
    raw.on["tools/call"] = status(301, "location: http://elsewhere/mcp\r\n")
    assert "http://elsewhere/mcp" in (await house.fault()).public


async def test_nobody_listens(house: House, raw: Raw) -> None:
    await house.add(raw.url, options=HANDSHAKE)
    await raw.close()
    error = await house.fault()
    assert (error.code, error.delivered) == ("connect_failed", "no")
    await raw.open()
    assert await house.text() == "ok"


# ---- too late, too much ------------------------------------------------------------------------------------------


async def test_who_hangs_is_left_at_the_deadline(house: House, raw: Raw) -> None:
    """Before the headers, in the headers, in the middle of a body, in the middle of a stream."""
    await house.add(raw.url, options=HANDSHAKE)

    async def in_headers(x: Exchange) -> None:
        await x.write(b"HTTP/1.1 200 OK\r\ncontent-ty")

    async def in_json(x: Exchange) -> None:
        await x.send(b"{", length=100)

    async def in_stream(x: Exchange) -> None:
        await x.stream(progress(x, 1))

    async def in_event(x: Exchange) -> None:
        await x.stream(b"data: {")

    async def at_once(_x: Exchange) -> None: ...

    for begin in (at_once, in_headers, in_json, in_stream, in_event):
        left = asyncio.Event()

        async def hang(x: Exchange, begin: Script = begin, left: asyncio.Event = left) -> None:
            await begin(x)
            await x.hung_up()
            left.set()

        raw.on["tools/call"] = hang
        error = await house.fault(deadline=house.deadline(0.3))
        assert (error.code, error.delivered) == ("timed_out", "unknown"), begin
        await asyncio.wait_for(left.wait(), 10)
        raw.on.clear()
        assert await house.text() == "ok"
    await until(lambda: sum(m.get("method") == "notifications/cancelled" for m in raw.said) == 5, "each was cancelled")


async def test_a_flood_of_progress_drowns_nobody(house: House, raw: Raw) -> None:
    await house.add(raw.url, options=HANDSHAKE)

    async def flood(x: Exchange) -> None:
        one = b"".join(b"data: " + orjson.dumps(progress(x, n)) + b"\n\n" for n in range(10_000))
        await x.stream(one, x.text("after the flood"))

    raw.on["tools/call"] = flood
    call = asyncio.create_task(house.text())
    assert await call == "after the flood"


async def test_comments_without_end_end_at_the_deadline(house: House, raw: Raw) -> None:
    """Lines of comments, and one comment without an end."""
    await house.add(raw.url, options=HANDSHAKE)
    gone: list[int] = []

    def endless(piece: bytes) -> Script:
        async def comments(x: Exchange) -> None:
            await x.stream()
            try:
                while True:
                    await x.write(piece)
                    await asyncio.sleep(0)
            except ConnectionError:
                gone.append(1)

        return comments

    raw.on["tools/call"] = endless(b": still here\n" * 100)
    assert (await house.fault(deadline=house.deadline(0.3))).code == "timed_out"
    await until(lambda: len(gone) == 1, "the flood is cut off")
    raw.on["tools/call"] = endless(b":" + b"x" * 2**20)
    assert (await house.fault()).code == "broken"
    await until(lambda: len(gone) == 2, "the flood is cut off")
    raw.on.clear()
    assert await house.text() == "ok"


async def test_two_answers_and_answers_to_nobody(house: House, raw: Raw) -> None:
    await house.add(raw.url, options=HANDSHAKE)

    async def many(x: Exchange) -> None:
        stray = [{**x.text("wrong"), "id": id} for id in (999, None, "1", str(x.id), [1], 1.5)]
        await x.stream(*stray, {"id": 7}, {"jsonrpc": "2.0"}, x.text("first"), x.text("second"))

    raw.on["tools/call"] = many
    assert await house.text() == "first"
    assert await house.text() == "first"


async def test_an_answer_after_the_cancel_reaches_nobody(house: House, raw: Raw) -> None:
    raw.capabilities = {"tools": {}}
    held: list[Exchange] = []

    async def listen(x: Exchange) -> None:
        await x.stream()
        held.append(x)
        await x.hung_up()

    async def late(x: Exchange) -> None:
        await x.stream(progress(x, 1))
        await x.hung_up()
        await held[0].event(x.text("too late"))

    raw.on |= {"tools/call": late, "GET": listen}
    await house.add(raw.url, options=HANDSHAKE)
    await until(lambda: bool(held), "the stream of notifications is open")
    assert (await house.fault(deadline=house.deadline(0.2))).code == "timed_out"
    del raw.on["tools/call"]
    assert await house.text() == "ok"
