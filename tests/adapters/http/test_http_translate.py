"""Bodies to calls and events to documents: pure."""

import time
from contextlib import suppress
from decimal import Decimal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.errors import BadArguments, Full
from adapters.http import translate
from adapters.spi import (
    Accepted,
    Ask,
    Call,
    Caller,
    CallRecord,
    Data,
    Error,
    Event,
    File,
    Form,
    Part,
    Payment,
    Price,
    Progress,
    Result,
    Sampling,
    Text,
    Visit,
)  # fmt: skip

ANN = Caller("ann")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(sorted(translate.KNOWN)) | st.text(max_size=5)


def call(said: object, **headers: str) -> Call:
    return translate.call("a__b", orjson.dumps(said), ANN, headers, "fresh")


@given(st.binary(max_size=100))
def test_any_bytes_are_a_call_or_bad_arguments(body: bytes) -> None:
    with suppress(BadArguments):
        assert translate.call("a__b", body, ANN, {}, "fresh").tool == "a__b"


@given(st.dictionaries(KEYS, JSON, max_size=4))
def test_any_document_is_a_call_or_bad_arguments(said: dict[str, object]) -> None:
    try:
        body = orjson.dumps(said)
    except TypeError:
        return
    try:
        made = translate.call("a__b", body, ANN, {}, "fresh")
    except BadArguments:
        return
    assert set(said) <= translate.KNOWN
    assert 0 < len(made.id) <= 128
    assert made.budget is None or (made.budget.is_finite() and made.budget >= 0)
    assert made.deadline is None or 0 < made.deadline <= time.time() + translate.DAY


@pytest.mark.parametrize("budget", ["NaN", "Infinity", "-1", "-0.01", "x", "", 0.5, True, [], {}])
def test_budgets_that_are_none(budget: object) -> None:
    with pytest.raises(BadArguments, match="budget"):
        call({"budget": budget})


def test_budgets_keep_every_digit() -> None:
    assert call({"budget": "0.100000000000000001"}).budget == Decimal("0.100000000000000001")
    assert call({"budget": 3}).budget == Decimal(3)
    assert call({}).budget is None


def test_headers_carry_the_chain_and_the_trace() -> None:
    made = call({}, **{"doolittle-hops": "c/a/t", "traceparent": "00-x"})
    assert (made.parent, made.trace, made.hops[0].agent) == ("c", "00-x", "a")
    assert (made.id, made.arguments, made.detached) == ("fresh", {}, False)


EVENTS = [
    (Accepted("a handle of theirs"), "accepted", {}),
    (Progress("m", 1, None), "progress", {"message": "m", "done": 1, "total": None}),
    (Part(Data([1])), "part", {"content": {"type": "data", "value": [1]}}),
    (
        Result((Text("a"), Text("b")), None, cost=Price(Decimal("0.10"), "USDC")),
        "result",
        {
            "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
            "text": "a\nb",
            "cost": {"amount": "0.10", "asset": "USDC"},
        },
    ),
    (Result((File("a/b", b"\0", name="n"),), structured=0), "result", {
        "content": [{"type": "file", "mediaType": "a/b", "name": "n", "base64": "AA=="}], "text": "", "structured": 0,
    }),
]  # fmt: skip


@pytest.mark.parametrize(("event", "name", "document"), EVENTS, ids=lambda v: v if isinstance(v, str) else "")
def test_events_as_documents(event: Event, name: str, document: object) -> None:
    assert translate.event(event) == (name, document)


def test_questions_of_each_kind() -> None:
    price = Price(Decimal(1))
    ask = Ask(
        (
            Form("f", "m", {"type": "object"}),
            Visit("v", "m", "https://x"),
            Sampling("s", {"a": 1}),
            Payment("p", price),
        ),
        state={"secret": 1},
        token="t",
    )
    name, document = translate.event(ask)
    assert name == "ask"
    assert [r["type"] for r in document["requests"]] == ["form", "visit", "sampling", "payment"]
    assert "secret" not in str(document)
    assert translate.outcome("c", ask)["state"] == "asking"


def test_a_record_shows_the_last_preview_and_the_end() -> None:
    made = Call("c", "a__b", {}, ANN)
    events = (Progress("one"), Progress("two"))
    assert translate.record(CallRecord(made, "working", events, 1.0, None)) == {
        "call": "c", "tool": "a__b", "state": "working", "started": 1.0,
        "progress": {"message": "two", "done": None, "total": None},
    }  # fmt: skip
    full = Error(Full("no room", retry_after=3))
    ended = translate.record(CallRecord(made, "failed", (full,), 1.0, 2.0))
    assert (ended["ended"], ended["error"]["retry_after"]) == (2.0, 3)
