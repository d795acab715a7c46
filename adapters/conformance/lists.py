"""Checks of the list of agents, and of chains of calls."""

from adapters import hops
from adapters.conformance.bench import Bench, check
from adapters.errors import LoopCut
from adapters.spi import MAX_DEPTH, Hop


def _names(b: Bench) -> set[str]:
    return {tool.name for tool in b.box.tools(b.far.upstream.name)}


@check("add")
async def an_agent_that_comes_is_listed(b: Bench) -> None:
    """At the next list."""
    before = _names(b)
    b.far.add("newcomer")
    assert await b.box.refresh(b.far.upstream.name)
    assert len(_names(b)) > len(before)


@check("changes", "add")
async def a_change_is_told(b: Bench) -> None:
    """A network that tells of changes is believed, and its list read again."""
    before = b.box.catalog.revision
    b.far.add("newcomer")
    await b.until(lambda: b.box.catalog.revision > before, "the new agent is listed without being asked for")


@check("add", "alter")
async def a_description_that_changes_is_shown(b: Bench) -> None:
    """At the next list, of an upstream that the operator trusts, under the same name."""
    b.far.add("newcomer")
    await b.box.refresh(b.far.upstream.name)
    before = _names(b)
    b.far.alter("newcomer", "Speaks Latin from today.")
    await b.box.refresh(b.far.upstream.name)
    assert any("Latin" in tool.description for tool in b.box.tools(b.far.upstream.name))
    assert _names(b) == before


@check("add", "remove")
async def an_agent_that_leaves_is_withdrawn_after_two_lists(b: Bench) -> None:
    """One list may be wrong."""
    before = _names(b)
    b.far.add("guest")
    await b.box.refresh(b.far.upstream.name)
    with_guest = _names(b)
    b.far.remove("guest")
    await b.box.refresh(b.far.upstream.name)
    assert _names(b) == with_guest
    await b.box.refresh(b.far.upstream.name)
    assert _names(b) == before


@check("add", "remove")
async def an_agent_that_returns_gets_its_name_back(b: Bench) -> None:
    """A name is given once, and never to another."""
    b.far.add("guest")
    await b.box.refresh(b.far.upstream.name)
    first = _names(b)
    b.far.remove("guest")
    for _ in range(2):
        await b.box.refresh(b.far.upstream.name)
    b.far.add("guest")
    await b.box.refresh(b.far.upstream.name)
    assert _names(b) == first


@check("cut_list")
async def a_list_that_breaks_off_withdraws_nothing(b: Bench) -> None:
    """However often."""
    before = _names(b)
    b.far.cut_list(0)
    for _ in range(3):
        assert not await b.box.refresh(b.far.upstream.name)
    assert _names(b) == before


@check()
async def an_unchanged_list_changes_nothing(b: Bench) -> None:
    """Descriptions are stable between two lists."""
    before = b.box.catalog.revision
    for _ in range(3):
        assert await b.box.refresh(b.far.upstream.name)
    assert b.box.catalog.revision == before


@check()
async def a_restart_keeps_all_names(b: Bench) -> None:
    """The last catalogue is there again."""
    before = _names(b)
    await b.box.restart()
    assert _names(b) == before


@check("chain")
async def the_chain_reaches_the_far_side(b: Bench) -> None:
    """With the call's own hop at its end, as the manifest's carrier brings it."""
    assert b.manifest.hops != "inferred"
    before = (Hop("outer", "somebody", "somebody__ask"),)
    call = b.call(b.far.say("x"), hops=before)
    await b.text(call)
    passed = hops.read(b.far.chain(call.id))
    assert [hop.call for hop in passed] == ["outer", call.id]


@check()
async def a_loop_is_cut(b: Bench) -> None:
    """The same agent and tool twice in one chain."""
    call = b.call(b.far.say("x"))
    tool = next(t for t in b.box.tools(b.far.upstream.name) if t.name == call.tool)
    error = await b.fault(b.call(b.far.say("x"), hops=(Hop("outer", tool.agent, tool.name),)))
    assert isinstance(error, LoopCut)
    assert tool.name in error.public


@check("chain", "relay")
async def a_chain_that_comes_back_is_cut(b: Bench) -> None:
    """A far side that calls another tool is answered; one that calls itself through us is not."""
    say = b.far.say("passed on")
    relay = b.far.relay(b.box.invoke, b.name(say.tool), say.arguments)
    assert await b.text(b.call(relay)) == say.text
    name = b.name(relay.tool)
    error = await b.fault(b.call(b.far.relay(b.box.invoke, name, relay.arguments)))
    assert error.code == LoopCut.code
    assert f"{name} -> {name}" in error.public


@check()
async def a_chain_that_is_too_long_is_cut(b: Bench) -> None:
    """At the depth that the contract names."""
    chain = tuple(Hop(f"c{n}", f"agent{n}", f"agent{n}__ask") for n in range(MAX_DEPTH))
    assert isinstance(await b.fault(b.call(b.far.say("x"), hops=chain)), LoopCut)
    trial = b.far.say("x")
    assert await b.text(b.call(trial, hops=chain[b.far.passes :])) == trial.text


SWITCHES = ("engines", "switch")


@check()
async def what_is_claimed_is_offered(b: Bench) -> None:
    """The manifest claims nothing under `can` that the far side has no way to show."""
    shown = {
        "stream": "count",
        "progress": "count",
        "cancel": "hang",
        "ask": "ask",
        "resume": "job",
        "conversation": "talk",
    }
    side = type(b.far)
    for word in b.manifest.can & shown.keys():
        method = shown[word]
        assert getattr(side, method) is not getattr(_base(), method), f"'{word}' is claimed; override FarSide.{method}"
    outbound = b.box.outbound(b.far.upstream.name)
    for word, verbs in {"find": ("find",), "resume": ("resume",), "forget": ("forget",), "engine": SWITCHES}.items():
        for verb in verbs:
            assert (word in b.manifest.can) == hasattr(outbound, verb), f"'{word}' is claimed by halves"


def _base() -> type[object]:
    from adapters.conformance.far_side import FarSide

    return FarSide
