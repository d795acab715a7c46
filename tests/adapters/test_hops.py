"""The chain of a call as text: what is written is read back, and nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import hops
from adapters.errors import BadArguments
from adapters.spi import MAX_DEPTH, Hop

HOPS = st.builds(
    Hop,
    st.from_regex(r"[A-Za-z0-9_.:~%-]{1,128}", fullmatch=True),
    st.from_regex(r"[a-z0-9]{1,10}(-[a-z0-9]{1,10})?", fullmatch=True),
    st.from_regex(r"[a-zA-Z0-9_-]{1,64}", fullmatch=True) | st.sampled_from(["tasks/get", "resources/read"]),
)


@given(st.lists(HOPS, max_size=MAX_DEPTH).map(tuple))
def test_what_is_written_is_read_back(chain: tuple[Hop, ...]) -> None:
    assert hops.read(hops.write(chain)) == chain


@given(st.text(max_size=200))
def test_anything_else_is_refused_and_nothing_worse(text: str) -> None:
    try:
        found = hops.read(text)
    except BadArguments:
        return
    assert len(found) <= MAX_DEPTH + 1
    assert hops.read(hops.write(found)) == found


@pytest.mark.parametrize(
    "text",
    ["x", "a/b", "a/b/c/../d e", "a/B/c", ",", "a/b/c,", "a//c", "a b/c/d", "é/b/c", "a" * 129 + "/b/c"],
)
def test_broken_chains_are_refused(text: str) -> None:
    with pytest.raises(BadArguments, match="call/agent/tool"):
        hops.read(text)


def test_a_chain_has_an_end() -> None:
    assert len(hops.read(",".join(["a/b/c"] * (MAX_DEPTH + 1)))) == MAX_DEPTH + 1
    for many in (MAX_DEPTH + 2, 100_000):
        with pytest.raises(BadArguments):
            hops.read(",".join(["a/b/c"] * many))


def test_spaces_around_commas_are_those_of_folded_headers() -> None:
    assert hops.read("a/b/c, d/e/f") == (Hop("a", "b", "c"), Hop("d", "e", "f"))
    assert hops.read("") == ()
