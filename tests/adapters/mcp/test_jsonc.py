"""Settings with comments, changed in place."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.mcp.clients import jsonc

ZED = """// Zed settings
{
  // the look
  "theme": "One", // dark
  "vim_mode": true,
  /* servers */
  "context_servers": {
    // a comment of ours
    "other": { "command": "x", "args": ["a", "b",], }, // behind
    // nothing below
  },
}
// the end
"""


def test_comments_and_all_else_stay() -> None:
    put = jsonc.put(ZED, ("context_servers", "doolittle"), {"url": "http://x", "headers": {"a": "b"}})
    assert put == ZED.replace(
        "    // nothing below\n",
        '    // nothing below\n    "doolittle": {\n      "url": "http://x",\n      "headers": {\n        "a": "b"\n'
        "      }\n    },\n",
    )
    assert jsonc.remove(put, ("context_servers", "doolittle")) == ZED
    changed = jsonc.put(put, ("context_servers", "doolittle"), {"url": "http://y"})
    assert changed == ZED.replace(
        "    // nothing below\n", '    // nothing below\n    "doolittle": {\n      "url": "http://y"\n    },\n'
    )


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1}',
        '{"a": 1, "m": {"b": 2}}',
        '{\n\t"a": 1,\n\t"m": {\n\t\t"b": {}\n\t}\n}\n',
        '{\r\n    "a": [1, 2],\r\n    "m": {"b": {}, "c": null}\r\n}\r\n',
        '{"m": {"b": {} /* c */ } // d\n}',
        "{ // only a comment\n}",
        '{\n  "m": {\n    "b": 1 // no comma\n    // more\n  }\n}',
        '{"m": {"b": "// no comment", "c": "}{\\"", "d": -1.5e3,},}',
        '\ufeff{"m": {"b": true}}',
    ],
)
def test_in_and_out_again(text: str) -> None:
    before: Any = jsonc.load(text)
    put = jsonc.put(text, ("m", "doolittle"), {"url": "x"})
    assert jsonc.load(put)["m"].pop("doolittle") == {"url": "x"}
    out = jsonc.remove(put, ("m", "doolittle"))
    assert jsonc.load(out) == {"m": {}, **before}
    assert [c for c in ("/* c */", "// d", "// only a comment", "// no comma", "// more") if c in text] == [
        c for c in ("/* c */", "// d", "// only a comment", "// no comma", "// more") if c in out
    ]
    if "m" in before and "\n" in text:
        assert "".join(out.split()) == "".join(text.split())


@pytest.mark.parametrize("text", ["", " \n", "// nothing yet\n"])
def test_an_empty_file(text: str) -> None:
    put = jsonc.put(text, ("m", "d"), {})
    assert put.startswith(text.strip())
    assert jsonc.load(put) == {"m": {"d": {}}}


@pytest.mark.parametrize(
    "text",
    ["[", "{", '{"a"}', '{"a": 1 "b": 2}', "{'a': 1}", "{} {}", '{"a": x}', "[1 2]", '{"a": }', "[" * 200, "/* open"],
)
def test_what_cannot_be_read_is_not_changed(text: str) -> None:
    with pytest.raises(jsonc.NotJson, match="line 1"):
        jsonc.put(text, ("m", "d"), {})


def test_what_is_no_object_is_not_changed() -> None:
    for text in ("[]", '{"m": []}', '{"m": "x"}'):
        with pytest.raises(jsonc.NotJson, match="not an object"):
            jsonc.put(text, ("m", "d"), {})
    with pytest.raises(jsonc.NotJson, match="there is no 'd'"):
        jsonc.remove('{"m": {}}', ("m", "d"))
    with pytest.raises(jsonc.NotJson, match="safely"):
        jsonc.remove('{"m": {"d": 1, "d": 2}}', ("m", "d"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=3), JSON, max_size=3), st.text(max_size=3), JSON, st.sampled_from([None, 2]))
def test_any_json(before: dict[str, Any], name: str, value: Any, indent: int | None) -> None:
    text = json.dumps(before, indent=indent)
    put = jsonc.put(text, (name,), value)
    assert json.loads(put) == {**before, name: value}
    assert json.loads(jsonc.remove(put, (name,))) == {k: v for k, v in before.items() if k != name}
