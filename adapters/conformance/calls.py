"""Checks of one call: its events, its end, its id, its conversation."""

import asyncio
import re
import time

from adapters.conformance.bench import Bench, check, sockets
from adapters.errors import BadArguments, Conflict, TimedOut, Unknown
from adapters.spi import Call, Error, Part, Progress, Result

POOL = 20
"""Connections that an adapter may keep, each with a task: fewer than the calls that a check of leaks makes."""


@check()
async def unary(b: Bench) -> None:
    """A call is answered."""
    trial = b.far.say("hello")
    assert await b.text(b.call(trial)) == trial.text


@check()
async def any_text_comes_back_as_it_was(b: Bench) -> None:
    """Quotes, new lines, other scripts, and signs of markup pass."""
    for text in ("a \"b\" 'c'", "two words <b>&amp;</b>", "Grüße, 世界", "{}[];|"):
        trial = b.far.say(text)
        assert await b.text(b.call(trial)) == trial.text


@check()
async def sixty_four_at_once(b: Bench) -> None:
    """Each answer belongs to its question."""
    trials = [b.far.say(f"number {n}") for n in range(64)]
    answers = await asyncio.gather(*(b.text(b.call(trial)) for trial in trials))
    assert answers == [trial.text for trial in trials]


@check()
async def names_are_legal(b: Bench) -> None:
    """Every listed name is one that each network takes."""
    tools = b.box.tools(b.far.upstream.name)
    assert tools
    for tool in tools:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*__[a-zA-Z0-9_-]+", tool.name)
        assert len(tool.name) <= 64
        assert tool.address.network == b.manifest.name


@check()
async def unknown_tool(b: Bench) -> None:
    """A name that is not there is refused, with the nearest that is."""
    name = b.name(b.far.say("x").tool)
    error = await b.fault(Call("unknown1", name + "x", {}, b.box.caller))
    assert isinstance(error, Unknown)
    assert name in error.public


@check("delivered")
async def same_id_is_delivered_once(b: Bench) -> None:
    """The id is an idempotency key."""
    trial = b.far.say("once")
    answers = [await b.text(b.call(trial, id="same1")) for _ in range(3)]
    assert answers == [trial.text] * 3
    assert b.far.delivered("same1") == 1


@check()
async def same_id_for_another_call_is_refused(b: Bench) -> None:
    """The id is bound to the arguments."""
    await b.text(b.call(b.far.say("one"), id="same2"))
    assert isinstance(await b.fault(b.call(b.far.say("two"), id="same2")), Conflict)


@check()
async def ids_are_each_callers_own(b: Bench) -> None:
    """Two callers may use one id, and neither reads the other's call."""
    for name in ("ann", "bob"):
        trial = b.far.say(name)
        assert await b.text(b.call(trial, id="same3", caller=b.other(name))) == trial.text
    try:
        b.box.calls.get("same3", b.other("eve"))
    except Unknown:
        return
    raise AssertionError("a stranger read the call")


@check("delivered")
async def bad_arguments_are_not_delivered(b: Bench) -> None:
    """What does not fit the schema stays here."""
    tool = b.name(b.far.say("x").tool)
    error = await b.fault(Call("bad1", tool, {"no such argument": 1}, b.box.caller))
    assert isinstance(error, BadArguments)
    assert error.delivered == "no"
    assert b.far.delivered("bad1") == 0


@check("stream", "count")
async def parts_come_before_the_result(b: Bench) -> None:
    """A network that streams shows something before the end."""
    trial = b.far.count(3)
    events = await b.events(b.call(trial))
    assert sum(isinstance(e, Part) for e in events) >= 3
    assert isinstance(events[-1], Result)
    assert events[-1].text == trial.text, "the result is whole without the parts"


@check("progress", "count")
async def progress_grows(b: Bench) -> None:
    """The number of a progress never falls."""
    events = await b.events(b.call(b.far.count(3)))
    done = [e.done for e in events if isinstance(e, Progress) and e.done is not None]
    assert len(done) >= 3
    assert done == sorted(done)


@check("count")
async def a_thousand_previews(b: Bench) -> None:
    """Many events arrive, in order, and end."""
    assert isinstance(await b.last(b.call(b.far.count(1000))), Result)


@check("big")
async def a_large_answer_is_whole(b: Bench) -> None:
    """One megabyte."""
    assert len(await b.text(b.call(b.far.big(2**20)))) == 2**20


@check("big")
async def an_answer_over_the_limit_is_refused(b: Bench) -> None:
    """Larger than may travel inline: an error, and the next call works."""
    event = await b.last(b.call(b.far.big(20 * 2**20)))
    assert isinstance(event, Error)
    await unary(b)


@check("hang")
async def the_deadline_ends_a_call(b: Bench) -> None:
    """In time, with nobody knowing what the far side did."""
    error = await b.fault(b.call(b.far.hang(), deadline=time.time() + 0.1))
    assert isinstance(error, TimedOut)
    assert error.delivered == "unknown"


@check()
async def a_deadline_that_is_past_delivers_nothing(b: Bench) -> None:
    """The call is not begun."""
    error = await b.fault(b.call(b.far.say("late"), deadline=time.time() - 1))
    assert isinstance(error, TimedOut)
    assert error.delivered == "no"


@check("cancel", "hang", "running")
async def hanging_up_reaches_the_far_side(b: Bench) -> None:
    """Who goes away cancels."""
    task = asyncio.create_task(b.events(b.call(b.far.hang())))
    await b.until(lambda: b.far.running() == 1, "the call arrives")
    task.cancel()
    await b.until(lambda: b.far.running() == 0, "the far side stops")


@check("cancel", "hang", "running")
async def cancelling_by_id_reaches_the_far_side(b: Bench) -> None:
    """And whoever listens hears of it."""
    task = asyncio.create_task(b.fault(b.call(b.far.hang(), id="cancel1")))
    await b.until(lambda: b.far.running() == 1, "the call arrives")
    await b.box.calls.cancel("cancel1", b.box.caller)
    assert (await task).code == "cancelled"
    await b.until(lambda: b.far.running() == 0, "the far side stops")


@check("hang", "running")
async def a_detached_call_goes_on(b: Bench) -> None:
    """Hanging up leaves it; cancelling by id ends it."""
    task = asyncio.create_task(b.events(b.call(b.far.hang(), id="detached1", detached=True)))
    await b.until(lambda: b.far.running() == 1, "the call arrives")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert b.box.calls.get("detached1", b.box.caller).state == "working"
    assert (await b.box.calls.cancel("detached1", b.box.caller)).state == "failed"


@check("conversation", "talk")
async def a_conversation_is_remembered(b: Bench) -> None:
    """What was said under a name is there at the next call."""
    await b.text(b.call(b.far.talk("one"), conversation="c"))
    assert await b.text(b.call(b.far.talk("two"), conversation="c")) == "one two"


@check("conversation", "talk")
async def conversations_are_each_callers_own(b: Bench) -> None:
    """Nobody reads another's by naming it."""
    for name in ("ann", "bob"):
        assert await b.text(b.call(b.far.talk(name), conversation="c", caller=b.other(name))) == name


@check("conversation", "talk")
async def without_a_conversation_nothing_is_remembered(b: Bench) -> None:
    """Each call starts afresh."""
    await b.text(b.call(b.far.talk("one")))
    assert await b.text(b.call(b.far.talk("two"))) == "two"


@check()
async def nothing_leaks(b: Bench) -> None:
    """After many calls there are no more tasks and files than after as many before."""
    await unary(b)
    tasks = len(asyncio.all_tasks())
    await _many(b)
    files = sockets()
    await _many(b)
    await b.settled(tasks + POOL, files + POOL)


async def _many(b: Bench) -> None:
    await asyncio.gather(*(unary(b) for _ in range(20)))
    for _ in range(20):
        await unary(b)


@check("cancel", "hang", "running")
async def what_is_cut_short_leaves_nothing(b: Bench) -> None:
    """After deadlines and hanging up nobody works, no task is left, and no more connections than the last time."""
    await unary(b)
    tasks = len(asyncio.all_tasks())
    await _cut_short(b)
    files = sockets()
    await _cut_short(b)
    await b.settled(tasks + POOL, files + POOL)


async def _cut_short(b: Bench) -> None:
    await asyncio.gather(*(b.fault(b.call(b.far.hang(), deadline=time.time() + 0.1)) for _ in range(POOL)))
    await b.until(lambda: b.far.running() == 0, "the far side stops at the deadline")
    calls = [asyncio.create_task(b.events(b.call(b.far.hang()))) for _ in range(POOL)]
    await b.until(lambda: b.far.running() == POOL, "the calls arrive")
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    await b.until(lambda: b.far.running() == 0, "the far side stops when the callers have gone")
