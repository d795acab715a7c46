"""What a key may, through every face; and that nothing it was counted for stays counted."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event

from adapters.conformance import NearSide, Outcome
from adapters.errors import CallerError, Denied, RateLimited, Unknown
from adapters.fake.world import WORLDS, World, world
from adapters.http.testing import HttpNearSide
from adapters.mcp.testing import HandshakeNearSide, ModernNearSide
from adapters.spi import Address, Agent, Call, Caller, Error, Event, Evidence, Result, Tool, Upstream, View
from gateway import policy
from gateway.catalog import CallerCatalog
from gateway.keys import Wanted
from gateway.testing import Box
from registry.registry import Registry
from registry.snapshot import Snapshot
from registry.store import Store, StoreFault
from registry.views import ViewFault, Window, require_sound

URL = "fake://keys"


class DirectNearSide(NearSide):
    """A client of the operations of the view "all"."""

    def _client(self) -> httpx2.AsyncClient:
        headers = {"authorization": f"Bearer {self.key}"} if self.key else {}
        return httpx2.AsyncClient(base_url=f"{self.url}/v1/views/all", headers=headers, timeout=30)

    async def tools(self) -> list[str]:
        async with self._client() as client:
            paths = (await client.get("/openapi.json")).raise_for_status().json()["paths"]
        return [path.rpartition("/")[2] for path in paths if "/tools/" in path]

    async def call(self, tool: str, arguments: dict[str, Any], hops: str = "") -> Outcome:
        async with self._client() as client:
            response = await client.post(f"/tools/{tool}", json=arguments)
        said = response.json()
        return Outcome(said["text"]) if response.status_code == 200 else Outcome(said["detail"], said["code"])


FACES = (HttpNearSide, DirectNearSide, ModernNearSide, HandshakeNearSide)


@pytest.fixture
async def far(box: Box) -> World:
    WORLDS.pop(URL, None)
    made = world(URL)
    await box.add(Upstream("world", "fake", URL))
    return made


async def who(box: Box, **wanted: Any) -> Caller:
    """The caller behind a new key."""
    secret = await box.key("ann", **wanted)
    return await box.gateway.keys.authenticate(Evidence("test", "bearer", secret))


async def last(box: Box, id: str, caller: Caller, tool: str = "echo", **arguments: Any) -> Event:
    call = Call(id, f"all__{tool}", {"text": "x"} if tool == "echo" and not arguments else arguments, caller)
    return [one async for one in box.invoke(call)][-1]


async def limited(box: Box, id: str, caller: Caller) -> float:
    """Refused; after how many seconds a retry makes sense."""
    end = await last(box, id, caller)
    assert isinstance(end, Error)
    assert isinstance(end.error, RateLimited), end.error
    assert end.error.retry_after is not None
    return end.error.retry_after


async def until(true: Any) -> None:
    ends = time.monotonic() + 20
    while not true():
        assert time.monotonic() < ends
        await asyncio.sleep(0.002)


# ---- limits ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("far")
async def test_a_rate_of_its_own_stands_in_place_of_the_setting(tmp_path: Path) -> None:
    box = Box(tmp_path / "own", limits={"rate": "1/minute"})
    await box.open()
    await box.add(Upstream("world", "fake", URL))
    ann, bob = await who(box, rate="2/hour"), await who(box)
    for n in range(2):
        assert isinstance(await last(box, f"a{n}", ann), Result)
    assert 3000 < await limited(box, "a2", ann) <= 3600
    assert isinstance(await last(box, "b0", bob), Result)
    assert 0 < await limited(box, "b1", bob) <= 60
    await box.close()


async def test_calls_at_once_are_counted_until_they_end_however_they_end(box: Box, far: World) -> None:
    ann = await who(box, concurrent=2)
    hanging = [asyncio.create_task(last(box, f"h{n}", ann, "hang")) for n in range(2)]
    await until(lambda: far.running == 2)
    assert await limited(box, "more", ann) == 1
    assert isinstance(await last(box, "other", await who(box)), Result)
    for task in hanging:
        task.cancel()
    await until(lambda: far.running == 0)
    for n, (tool, arguments) in enumerate(
        [("fail", {"kind": "refused"}), ("crash", {}), ("ask", {}), ("echo", {"wrong": 1}), ("nothing", {})] * 3
    ):
        await last(box, f"n{n}", ann, tool, **arguments)
    refused = [asyncio.create_task(last(box, f"h{n}", ann, "hang")) for n in range(2, 12)]
    await until(lambda: far.running == 2 and sum(task.done() for task in refused) == 8)
    for task in refused:
        task.cancel()
    await asyncio.gather(*refused, return_exceptions=True)
    await until(lambda: not box.gateway.calls.running())
    assert not box.gateway._path._parts.limits._running
    assert isinstance(await last(box, "well", ann), Result)


async def test_calls_of_a_day_survive_a_restart_and_only_calls_that_were_let_in_count(box: Box, far: World) -> None:
    secret = await box.key("ann", daily=3)

    async def ann() -> Caller:
        return await box.gateway.keys.authenticate(Evidence("test", "bearer", secret))

    await last(box, "wrong", await ann(), "echo", wrong=1)
    await last(box, "none", await ann(), "nothing")
    for n in range(2):
        assert isinstance(await last(box, f"n{n}", await ann()), Result)
    (key,) = await box.gateway.keys.list()
    assert key.today == 2
    await box.key("another")
    assert (await box.gateway.keys.list())[0].today == 2, "reading the keys anew forgets nothing"
    await box.restart()
    (key, _) = await box.gateway.keys.list()
    assert (key.today, abs((key.last_used or 0) - time.time()) < 60) == (2, True)
    assert isinstance(await last(box, "n2", await ann()), Result)
    left = await limited(box, "n3", await ann())
    assert 0 < left <= 86400
    assert abs((time.time() + left) % 86400) < 5 or abs((time.time() + left) % 86400 - 86400) < 5


async def test_yesterdays_calls_do_not_count(box: Box, far: World) -> None:
    ann = await who(box, daily=1)
    assert isinstance(await last(box, "n0", ann), Result)
    await limited(box, "n1", ann)
    usage = box.gateway.keys.usage
    usage._calls = {id: (day - 1, calls) for id, (day, calls) in usage._calls.items()}
    assert isinstance(await last(box, "n2", ann), Result)
    await limited(box, "n3", ann)


@pytest.mark.usefixtures("far")
async def test_use_is_not_written_on_the_call_path(box: Box) -> None:
    ann = await who(box, daily=100)
    written: list[str] = []

    def listen(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "keys" in statement:
            written.append(statement.split()[0])

    event.listen(box.gateway.store._engine, "before_cursor_execute", listen)
    for n in range(20):
        await last(box, f"n{n}", ann)
    assert written == []
    await box.gateway.keys.usage.flush()
    await box.gateway.keys.usage.flush()
    assert written == ["UPDATE"], "one batch; and where nothing is new, nothing"


@pytest.mark.usefixtures("far")
async def test_what_cannot_be_written_is_written_later(box: Box) -> None:
    await last(box, "n0", await who(box))
    keys, store = box.gateway.keys, box.gateway.store
    engine, store._engine = store._engine, None
    with pytest.raises(StoreFault):
        await keys.usage.flush()
    store._engine = engine
    await keys.usage.flush()
    other = type(keys)(store)
    await other.load()
    assert [k.today for k in await other.list()] == [1]


@pytest.mark.parametrize(
    "wanted", [{"rate": "often"}, {"rate": "0/minute"}, {"rate": "1/second;2/minute"}, {"daily": 0}]
)
async def test_limits_that_are_none_are_refused(box: Box, wanted: dict[str, Any]) -> None:
    with pytest.raises(CallerError):
        await box.gateway.keys.create(Wanted("ann", **wanted))
    assert not box.gateway.keys.exist


async def test_what_a_key_says_anew_is_believed_at_once(box: Box) -> None:
    ann = await who(box, views=("a", "b"), patience=7.0, allow=("x__*",))
    assert (ann.views, ann.patience, ann.allow, ann.network) == (("a", "b"), 7.0, ("x__*",), "test")
    assert (await who(box)).views == ()


# ---- every face --------------------------------------------------------------------------------------------------


async def answered(side: type[NearSide], url: str, key: str, tool: str) -> Outcome | None:
    """What a client of this face gets; None where it raises, as some do for a refusal at the border."""
    try:
        return await side(url, key).call(tool, {"text": "x"})
    except Exception:  # noqa: BLE001 - some clients raise, others answer: both are a refusal
        return None


@pytest.mark.parametrize("side", FACES)
async def test_a_key_that_ended_or_is_anothers_calls_through_no_face(
    box: Box, far: World, side: type[NearSide]
) -> None:
    registry = box.gateway.registry
    await registry.put_view(View("sums", include=("all__add",)))
    await registry.put_view(View("words", include=("all__echo",)))
    url = await box.serve()
    good, revoked = await box.key("good"), await box.key("revoked")
    expired, foreign = await box.key("expired", days=1e-9), await box.key("foreign", views=("sums", "gone"))
    words = await box.key("words", views=("words",))
    await box.gateway.keys.revoke("revoked")
    for bad in (revoked, expired, "dk_none", ""):
        outcome = await answered(side, url, bad, "all__echo")
        assert outcome is None or outcome.code == "unauthenticated"
    outcome = await answered(side, url, foreign, "all__echo")
    assert outcome is not None
    assert outcome.code in ("denied", "unknown")
    assert far.seen["deliver"] == 0
    for key, names in ((foreign, ["all__add"]), (words, ["all__echo"])):
        assert await side(url, key).tools() == names
    for key in (good, words):
        outcome = await answered(side, url, key, "all__echo")
        assert outcome is not None
        assert outcome.text == "x"


@pytest.mark.parametrize("side", FACES)
async def test_limits_hold_through_every_face_together(box: Box, far: World, side: type[NearSide]) -> None:
    url = await box.serve()
    key = await box.key("ann", rate="2/hour")
    assert (await HttpNearSide(url, key).call("all__echo", {"text": "x"})).text == "x"
    assert (await side(url, key).call("all__echo", {"text": "x"})).text == "x"
    assert (await side(url, key).call("all__echo", {"text": "x"})).code == "rate_limited"


async def test_keys_over_v1_carry_all_that_they_have(box: Box, far: World) -> None:
    async with httpx2.AsyncClient(base_url=await box.serve()) as http:
        await http.put("/v1/views/sums", json={"include": ["all__add"]})
        said = {"name": "ann", "roles": ["call", "admin"], "rate": "60/minute", "concurrent": 4, "daily": 1000}
        said |= {"views": ["sums"], "patience": 30, "days": 1}
        made = (await http.post("/v1/keys", json=said)).json()
        assert {k: made[k] for k in said if k != "days"} == {k: v for k, v in said.items() if k != "days"}
        headers = {"authorization": f"Bearer {made['secret']}"}
        await http.post("/v1/tools/all__add/calls", json={"arguments": {"a": 1, "b": 1}}, headers=headers)
        (listed,) = (await http.get("/v1/keys", headers=headers)).json()
        assert (listed["today"], listed["secret"], listed["last_used"] > made["created"]) == (1, None, True)
        for bad in ({"views": ["nothing"]}, {"rate": "often"}, {"concurrent": 0}):
            refused = await http.post("/v1/keys", json={"name": "x", **bad}, headers=headers)
            assert refused.status_code == 400, bad


# ---- what is seen is what can be called --------------------------------------------------------------------------

NAMES = [f"{a}__{t}" for a in "ab" for t in ("x", "y", "z")]
GLOBS = st.lists(st.sampled_from([*NAMES, "*", "a__*", "*__x"]), max_size=3).map(tuple)
SHOWN = st.sampled_from([*NAMES, "p", "q"])
VIEW_NAMES = ("v", "w", "gone")


def views() -> st.SearchStrategy[dict[str, View]]:
    renames = st.dictionaries(st.sampled_from(NAMES), SHOWN, max_size=3)
    made = {name: st.builds(View, st.just(name), include=GLOBS, exclude=GLOBS, renames=renames) for name in ("v", "w")}
    return st.fixed_dictionaries(made)


CALLERS = st.builds(
    Caller,
    st.just("c"),
    allow=GLOBS,
    roles=st.sampled_from([frozenset({"call"}), frozenset({"call", "admin"}), frozenset({"admin"})]),
    views=st.lists(st.sampled_from(VIEW_NAMES), max_size=2).map(tuple),
)
CHAINS = st.lists(CALLERS, min_size=1, max_size=3)


def chained(callers: list[Caller]) -> Caller:
    head, *rest = callers
    return replace(head, on_behalf_of=chained(rest) if rest else None)


def catalogue(known: dict[str, View], present: set[str]) -> CallerCatalog:
    registry = Registry(Store("sqlite://"))
    agents = [
        Agent(
            Address("fake", "u", slug),
            slug,
            tools=tuple(Tool(n, name=n, agent=slug) for n in sorted(present) if n.startswith(slug)),
            slug=slug,
        )
        for slug in "ab"
    ]
    registry.snapshot = Snapshot(1, agents, known)
    return CallerCatalog(registry)


def callable_by(caller: Caller, name: str, known: dict[str, View]) -> bool:
    try:
        policy.require(caller, name, Snapshot(0, (), known))
    except Denied:
        return False
    return True


@given(views(), st.sets(st.sampled_from(NAMES)), CHAINS)
def test_what_is_seen_can_be_called_and_nothing_else(
    known: dict[str, View], present: set[str], callers: list[Caller]
) -> None:
    for view in known.values():
        try:
            require_sound(view)
        except ViewFault:
            return
    caller, catalog = chained(callers), catalogue(known, present)
    seen = {t.name for t in catalog.tools(caller)}
    assert seen == {n for n in present if callable_by(caller, n, known)}
    assert seen == {t.name for a in catalog.agents(caller) for t in a.tools}
    for principal in callers:
        assert seen <= {t.name for t in catalog.tools(principal)}, "an intersection along the chain"
        if principal.views:
            taken = [Window(known[v], catalog.tools(Caller("all"))) for v in principal.views if v in known]
            assert seen <= {w.public(t.name) for w in taken for t in w.tools} | {n for w in taken for n in w.left_out}
    for name in present:
        if name in seen:
            assert catalog.tool(name, caller).name == name
        else:
            with pytest.raises(Unknown):
                catalog.tool(name, caller)


@given(views(), st.sets(st.sampled_from(NAMES)), CHAINS)
def test_names_through_a_view_lead_to_what_may_be_called(
    known: dict[str, View], present: set[str], callers: list[Caller]
) -> None:
    for view in known.values():
        try:
            require_sound(view)
        except ViewFault:
            return
    caller, catalog = chained(callers), catalogue(known, present)
    for name in VIEW_NAMES:
        if name not in known or any(c.views and name not in c.views for c in callers):
            with pytest.raises(Unknown, match=f"no view is called '{name}'"):
                catalog.view(name, caller)
            continue
        through = catalog.view(name, caller)
        shown = {t.name: through.public(t.name) for t in through.tools(caller)}
        assert len(set(shown.values())) == len(shown)
        for tool in through.tools(caller):
            assert through.tool(tool.name, caller) == tool
            assert callable_by(caller, shown[tool.name], known)
            assert catalog.tool(shown[tool.name], caller).native == tool.native
        for other in {*NAMES, "p", "q"} - set(shown):
            with pytest.raises(Unknown):
                through.tool(other, caller)


@pytest.fixture(autouse=True)
async def _clean() -> AsyncIterator[None]:
    yield
    WORLDS.pop(URL, None)
