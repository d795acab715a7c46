"""Names are legal, stable, and given once: over hostile names."""

import re

from hypothesis import given
from hypothesis import strategies as st

from registry import names

HOSTILE = st.text(max_size=300) | st.sampled_from(
    ["", "  ", "A" * 300, "é", "名前", "a--b", "A b", "a_b", "__", "-", "\ud800", "🙂"]
)


@given(HOSTILE, st.text(max_size=50), st.sets(st.sampled_from(["a", "agent", "a-b"])))
def test_a_slug_is_always_legal(name: str, identity: str, taken: set[str]) -> None:
    slug = names.slug(name, identity, taken)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug)
    assert len(slug) <= 24
    assert slug not in taken
    assert slug == names.slug(name, identity, taken), "the same again"


@given(st.lists(st.tuples(HOSTILE, st.uuids().map(str)), max_size=20))
def test_no_slug_is_given_twice(agents: list[tuple[str, str]]) -> None:
    taken: set[str] = set()
    for name, identity in agents:
        slug = names.slug(name, identity, taken)
        assert slug not in taken
        taken.add(slug)


@given(st.from_regex(r"[a-z0-9]{1,10}(-[a-z0-9]{1,10})?", fullmatch=True), st.lists(HOSTILE, unique=True, max_size=20))
def test_tool_names_are_legal_and_differ(agent: str, natives: list[str]) -> None:
    taken: set[str] = set()
    for native in natives:
        name = names.tool(agent, native, taken)
        assert re.fullmatch(r"[a-z0-9-]+__[a-zA-Z0-9_-]+", name)
        assert len(name) <= 64
        assert name.startswith(agent + "__")
        assert name not in taken
        taken.add(name)


def test_plain_names_stay_as_they_are() -> None:
    assert names.slug("Eliza", "", set()) == "eliza"
    assert names.slug("Prof. Henry Higgins", "", set()) == "prof-henry-higgins"
    assert names.slug("Zoë Müller", "", set()) == "zoe-muller"
    assert names.tool("eliza", "ask", set()) == "eliza__ask"


def test_a_long_tool_is_cut_with_a_hash_of_itself() -> None:
    one, two = names.tool("a", "x" * 200 + "1", set()), names.tool("a", "x" * 200 + "2", set())
    assert one != two
    assert len(one) <= names.AIM
