"""Parts of an agent: rights that a principal has by itself, for its own calls alone."""

from dataclasses import dataclass, field, replace

from hypothesis import given
from hypothesis import strategies as st

from adapters.spi import Caller, View
from gateway.policy import may

NAMES = ("ada__ask", "engine__ask", "words__count", "words__spell")


@dataclass
class Known:
    views: dict[str, View] = field(default_factory=lambda: {"few": View("few", include=("ada__*",))})
    only: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])


globs = st.lists(st.sampled_from([*NAMES, "*", "words__*", "engine__*"]), max_size=3).map(tuple)
principals = st.builds(
    Caller, st.sampled_from(["a", "b", "a/ada", "a/ada/engine"]), allow=globs,
    roles=st.sampled_from([frozenset({"call"}), frozenset({"admin"}), frozenset[str]()]),
    views=st.sampled_from([(), ("few",), ("gone",)]), parts=st.lists(st.sampled_from(NAMES), max_size=2).map(tuple),
)  # fmt: skip


def chained(principals: list[Caller]) -> Caller:
    """The first one acts on behalf of the second, and so on."""
    made = principals[-1]
    for one in reversed(principals[:-1]):
        made = replace(one, on_behalf_of=made)
    return made


@given(st.lists(principals, min_size=1, max_size=4), st.sampled_from(NAMES))
def test_what_is_no_part_of_the_first_is_the_right_of_all(people: list[Caller], name: str) -> None:
    alone = [may(replace(one, parts=()), name, Known()) for one in people]
    expected = alone[0] if name in people[0].parts else all(alone)
    assert may(chained(people), name, Known()) == expected


@given(st.lists(principals, min_size=2, max_size=4), st.sampled_from(NAMES))
def test_parts_of_those_behind_give_nothing(people: list[Caller], name: str) -> None:
    without = [people[0], *(replace(one, parts=()) for one in people[1:])]
    assert may(chained(people), name, Known()) == may(chained(without), name, Known())


@given(st.lists(principals, min_size=1, max_size=4), st.sampled_from(NAMES))
def test_parts_open_no_agent_that_is_for_others_only(people: list[Caller], name: str) -> None:
    known = Known(only={name.partition("__")[0]: ("somebody else",)})
    assert not may(chained(people), name, known)
