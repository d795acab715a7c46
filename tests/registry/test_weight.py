"""Looks are counted before anybody looks."""

import pytest

from registry.model import Json
from registry.weight import DEEPEST, TooHeavy, Weight, levels, weigh


def test_without_references_nothing_is_weighed() -> None:
    assert weigh({"properties": {"a": {"allOf": [{"type": "string"}], "$id": "x", "id": "y"}}}) is None
    assert weigh(True) is None
    assert weigh([1]) is None
    assert weigh({"properties": {"$ref": {"type": "string"}}, "default": {"$ref": "http://x/"}}) is None


def test_places_are_counted_by_level() -> None:
    assert levels({"a": [1, 2], "b": {}}, 10) == [1, 2, 2]
    assert levels("x", 10) == [1]
    assert len(levels([[[[[[]]]]]], 2)) == 4


def test_what_ends_is_checked_to_any_depth() -> None:
    weight = weigh(
        {"properties": {"a": {"$ref": "#/$defs/a"}, "b": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"type": "string"}}}
    )
    assert weight == Weight((1, 1), True)


def test_other_keys_and_every_key() -> None:
    document: dict[str, Json] = {
        "properties": {"a": {"$ref": "#/$defs/x"}},
        "additionalProperties": {"$ref": "#/$defs/x"},
        "patternProperties": {"^a": {"$ref": "#/$defs/x"}},
        "$defs": {"x": {"type": "string"}},
    }
    assert weigh(document) == Weight((1, 2), True), "a named key is not one of the others; a pattern may fit any"


def test_a_list_of_itself_is_looked_at_once_a_level() -> None:
    weight = weigh({"properties": {"a": {"items": {"$ref": "#"}}}})
    assert weight == Weight((1,) * (DEEPEST + 1), False)


def test_a_tree_of_two_kinds_doubles() -> None:
    kind: Json = {"properties": {"a": {"$ref": "#"}}}
    weight = weigh({"anyOf": [kind, kind]})
    assert weight is not None
    assert weight.looks[:4] == (3, 6, 12, 24)
    assert "deeper than" in weight.refuses([[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]])
    assert "too widely" in weight.refuses([[[[[[[[[[[[[[[1] * 2000]]]]]]]]]]]]]])
    assert weight.refuses([[1] * 2000]) == ""


def test_kinds_that_differ_in_their_keys_do_not() -> None:
    weight = weigh({"anyOf": [{"properties": {k: {"items": {"$ref": "#"}}}} for k in ("and", "or", "not")]})
    assert weight is not None
    assert set(weight.looks[::2]) == {4}


@pytest.mark.parametrize("ref", ["#/$defs/a~1b", "#/$defs/c%25", "#here", "", "#", "http://x/y#/$defs/c%25"])
def test_references_are_followed_as_they_are_written(ref: str) -> None:
    defs: Json = {"a/b": {"type": "string"}, "c%": {"items": True}, "d": {"$anchor": "here"}}
    assert weigh({"$id": "http://x/y", "properties": {"a": {"$ref": ref}}, "$defs": defs})


@pytest.mark.parametrize(
    "document",
    [
        {"$ref": "#/nowhere"},
        {"$ref": "#/$defs/0/x", "$defs": [1]},
        {"$ref": "#/a/999999999999999999999", "a": [1]},
        {"$ref": "http://x/"},
        {"$ref": "#nowhere"},
        {"properties": {"a": {"$id": "http://x/", "$ref": "#"}}},
        {"$ref": "#/a/b", "a": {"$id": "http://x/", "b": {"$ref": "#/c"}}, "c": {}},
        {"$recursiveRef": "#"},
        {"not": {"$ref": "#"}},
        {"properties": {f"a{n}": {"$ref": f"#/properties/a{n + 1}"} for n in range(500)}},
        {"$defs": {f"a{i}": {"allOf": [{"$ref": f"#/$defs/a{j}"} for j in range(i + 1, 300)]} for i in range(300)},
         "$ref": "#/$defs/a0"},
    ],
)  # fmt: skip
def test_what_cannot_be_counted_is_said(document: Json) -> None:
    with pytest.raises(TooHeavy):
        weigh(document)


@pytest.mark.parametrize("word", ["properties", "items", "allOf", "$defs", "$ref", "dependencies", "$id", "$schema"])
def test_words_with_values_of_the_wrong_kind_are_no_trap(word: str) -> None:
    for value in (None, 1, "x", [], [1, None], {}, {"a": 1}, {"$ref": 1}):
        document: Json = {"anyOf": [{"$ref": "#/x"}], "x": {"type": "string"}} | {word: value}
        try:
            weigh(document)
        except TooHeavy:
            assert word in ("$ref", "allOf")
