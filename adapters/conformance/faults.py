"""Checks of what goes wrong: errors, garbage, outages, questions back, work that is held."""

import asyncio

from adapters import errors
from adapters.conformance.bench import Bench, check
from adapters.errors import Broken, Bug, Busy, Expired, Unreachable
from adapters.spi import Accepted, Answer, Error, Result

KINDS = {k.code: k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, errors.GatewayError)}


@check("fail", "codes")
async def each_error_arrives_as_what_it_is(b: Bench) -> None:
    """Class, delivery, and for Busy a time to come back."""
    assert b.far.codes()
    for code in b.far.codes():
        error = await b.fault(b.call(b.far.fail(code)))
        assert error.code == code, f"{code}: it arrived as {error.code}"
        usually = KINDS[code].usually
        assert error.delivered == usually, f"{code}: delivered is '{error.delivered}', not '{usually}'"
        assert error.call_id, f"{code}: it does not name its call"
        assert error.retry_after or not isinstance(error, Busy), f"{code}: it does not say when to come back"


@check("fail", "codes")
async def an_error_leaves_the_next_call_alone(b: Bench) -> None:
    """After each error, a call works."""
    for code in b.far.codes():
        await b.fault(b.call(b.far.fail(code)))
        trial = b.far.say(code)
        assert await b.text(b.call(trial)) == trial.text


@check("crash")
async def a_crash_is_a_bug_without_its_text(b: Bench) -> None:
    """Callers do not read an adapter's insides."""
    error = await b.fault(b.call(b.far.crash()))
    assert isinstance(error, Bug)
    assert "secret" not in error.public


@check("garbage")
async def garbage_is_an_answer_too(b: Bench) -> None:
    """However the far side breaks its protocol, the call ends once, and the next works."""
    for trial in b.far.garbage():
        event = await b.last(b.call(trial))
        assert isinstance(event, Error | Result)
        good = b.far.say("still here")
        assert await b.text(b.call(good)) == good.text


@check("broken")
async def what_is_broken_is_no_answer(b: Bench) -> None:
    """An error says so, and that the far side may have begun; nothing is made up."""
    for trial in b.far.broken():
        error = await b.fault(b.call(trial))
        assert isinstance(error, Broken | Unreachable), f"{trial}: {error.code}"
        assert error.delivered != "no", f"{trial}: it was delivered"


@check("outage")
async def an_outage_is_said_and_delivers_nothing(b: Bench) -> None:
    """The tools stay listed as degraded; a call fails at once."""
    name = b.far.upstream.name
    before = b.box.tools(name)
    call = b.call(b.far.say("x"))
    b.far.outage(True)
    assert not await b.box.refresh(name)
    assert b.box.degraded(name)
    assert b.box.tools(name) == before
    error = await b.fault(call)
    assert isinstance(error, Unreachable)
    assert error.delivered == "no"


@check("outage")
async def after_an_outage_it_comes_back_by_itself(b: Bench) -> None:
    """Nobody has to restart anything."""
    b.far.outage(True)
    await b.box.refresh(b.far.upstream.name)
    b.far.outage(False)
    await b.box.refresh(b.far.upstream.name)
    assert b.box.degraded(b.far.upstream.name) is None
    trial = b.far.say("back")
    assert await b.text(b.call(trial)) == trial.text


@check("outage", "hang", "running")
async def a_connection_lost_in_the_middle(b: Bench) -> None:
    """The call ends with nobody knowing what was done."""
    task = asyncio.create_task(b.fault(b.call(b.far.hang())))
    await b.until(lambda: b.far.running() == 1, "the call arrives")
    b.far.outage(True)
    error = await task
    assert isinstance(error, Unreachable)
    assert error.delivered != "no"


@check("outage")
async def check_speaks_plainly(b: Bench) -> None:
    """Well, and during an outage."""
    report = await b.box.report(b.far.upstream)
    assert report.ok
    assert report.text
    b.far.outage(True)
    try:
        report = await b.box.outbound(b.far.upstream.name).check()
    except Exception as fault:
        raise AssertionError(f"`check` says what is wrong, and never raises: {fault!r}") from fault
    for said in (report, await b.box.report(b.far.upstream)):
        assert not said.ok
        assert said.text
        assert "Traceback" not in said.text


@check("ask")
async def a_question_is_answered(b: Bench) -> None:
    """A form comes back, its answer goes on."""
    trial = b.far.ask(False)
    _, ask = await b.asked(trial)
    assert "Ada" in await b.text(b.answer(ask, trial))


@check("ask")
async def a_far_side_that_waits_live_is_answered(b: Bench) -> None:
    """It is parked meanwhile."""
    trial = b.far.ask(True)
    _, ask = await b.asked(trial)
    assert "Ada" in await b.text(b.answer(ask, trial))


@check("ask")
async def a_token_is_used_once(b: Bench) -> None:
    """The second use is refused."""
    trial = b.far.ask(False)
    _, ask = await b.asked(trial)
    await b.text(b.answer(ask, trial))
    assert isinstance(await b.fault(b.answer(ask, trial)), Expired)


@check("ask")
async def a_token_is_its_callers_own(b: Bench) -> None:
    """Another's is refused, and stays good for its owner."""
    trial = b.far.ask(False)
    _, ask = await b.asked(trial)
    assert isinstance(await b.fault(b.answer(ask, trial, caller=b.other("eve"))), Expired)
    assert "Ada" in await b.text(b.answer(ask, trial))


@check("ask")
async def a_token_is_for_its_tool(b: Bench) -> None:
    """Shown to another tool, it is refused."""
    _, ask = await b.asked(b.far.ask(False))
    call = b.call(b.far.say("x"), answer=Answer(ask.token, {}))
    assert isinstance(await b.fault(call), Expired)


@check("ask")
async def a_token_that_was_altered_is_refused(b: Bench) -> None:
    """Changed, cut, and made up."""
    trial = b.far.ask(False)
    _, ask = await b.asked(trial)
    flipped = ask.token[:-1] + ("0" if ask.token[-1] != "0" else "1")
    for token in (flipped, ask.token[:20], "", "zz", "00" * 60):
        assert isinstance(await b.fault(b.call(trial, answer=Answer(token, {}))), Expired)


@check("ask")
async def a_token_ends_with_the_process(b: Bench) -> None:
    """After a restart, the question must be asked again."""
    trial = b.far.ask(False)
    _, ask = await b.asked(trial)
    await b.box.restart()
    assert isinstance(await b.fault(b.answer(ask, trial)), Expired)


@check("resume", "job", "delivered")
async def held_work_is_resumed_and_not_delivered_again(b: Bench) -> None:
    """The connection breaks after the acceptance; the result comes all the same."""
    trial = b.far.job("hard work")
    call = b.call(trial)
    events = await b.events(call)
    assert any(isinstance(event, Accepted) for event in events)
    assert isinstance(events[-1], Result)
    assert events[-1].text == trial.text
    assert b.far.delivered(call.id) == 1
