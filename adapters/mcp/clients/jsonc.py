"""JSON as people write it, with comments and trailing commas, changed in place: all but the one member stays as it was.

What an edit yields is read again and compared with what was meant; if they differ, nothing is given back.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Path: TypeAlias = Sequence[str]

BLANK = re.compile(r"(?:[\s\ufeff]+|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
SCALAR = re.compile(r"[-+.\w]+")
DEPTH = 100


class NotJson(Exception):
    """The text cannot be read, or not be changed safely; it says where and why."""


@dataclass(slots=True)
class Node:
    """A value and where it stands; of an object its members."""

    start: int
    end: int
    value: Any
    members: "list[Member]" = field(default_factory=list["Member"])


@dataclass(slots=True)
class Member:
    """`start` is the place of its name, `comma` that of the comma behind it, or -1."""

    name: str
    start: int
    node: Node
    comma: int = -1


def load(text: str) -> Any:
    """The value. Raises `NotJson`."""
    return {} if _blank(text, 0) == len(text) else read(text).value


def put(text: str, path: Path, value: Any) -> str:
    """The text with the member set; objects on the way to it are made. Raises `NotJson`."""
    before = load(text)
    made = _put(text + "{}\n" if _blank(text, 0) == len(text) else text, path, value)
    _compare(made, _meant(before, path, value))
    return made


def remove(text: str, path: Path) -> str:
    """The text without the member. Raises `NotJson`."""
    before = load(text)
    node = read(text)
    for name in path[:-1]:
        node = _member(node, name).node
    made = _cut(text, node, _member(node, path[-1]))
    _compare(made, _meant(before, path, ...))
    return made


# ---- reading -----------------------------------------------------------------------------------------------------


def read(text: str) -> Node:
    """Raises `NotJson`."""
    node = _value(text, _blank(text, 0), 0)
    end = _blank(text, node.end)
    if end < len(text):
        raise _fault(text, end, "the end")
    return node


def _value(text: str, at: int, depth: int) -> Node:
    if depth > DEPTH:
        raise _fault(text, at, "less depth")
    if text.startswith("{", at):
        return _object(text, at, depth)
    if text.startswith("[", at):
        return _array(text, at, depth)
    found = STRING.match(text, at) or SCALAR.match(text, at)
    if found is None:
        raise _fault(text, at, "a value")
    try:
        return Node(at, found.end(), json.loads(found[0]))
    except ValueError as fault:
        raise _fault(text, at, "a value") from fault


def _object(text: str, start: int, depth: int) -> Node:
    node = Node(start, start, {})
    at = _blank(text, start + 1)
    while not text.startswith("}", at):
        key = STRING.match(text, at)
        if key is None or (node.members and node.members[-1].comma < 0):
            raise _fault(text, at, "a name in quotes, or }" if key is None else "a comma")
        colon = _blank(text, key.end())
        if not text.startswith(":", colon):
            raise _fault(text, colon, "a colon")
        member = Member(json.loads(key[0]), at, _value(text, _blank(text, colon + 1), depth + 1))
        node.members.append(member)
        node.value[member.name] = member.node.value
        at = _blank(text, member.node.end)
        if text.startswith(",", at):
            member.comma = at
            at = _blank(text, at + 1)
    node.end = at + 1
    return node


def _array(text: str, start: int, depth: int) -> Node:
    node = Node(start, start, [])
    at, more = _blank(text, start + 1), True
    while not text.startswith("]", at):
        if not more:
            raise _fault(text, at, "a comma or ]")
        item = _value(text, at, depth + 1)
        node.value.append(item.value)
        at = _blank(text, item.end)
        if more := text.startswith(",", at):
            at = _blank(text, at + 1)
    node.end = at + 1
    return node


def _blank(text: str, at: int) -> int:
    found = BLANK.match(text, at)
    return found.end() if found else at


def _fault(text: str, at: int, wanted: str) -> NotJson:
    return NotJson(f"line {text.count(chr(10), 0, at) + 1}: expected {wanted}")


def _member(node: Node, name: str) -> Member:
    for member in reversed(node.members):  # of two with one name, the last counts
        if member.name == name:
            return member
    raise NotJson(f"there is no '{name}'")


# ---- changing ----------------------------------------------------------------------------------------------------


def _put(text: str, path: Path, value: Any) -> str:
    node = root = read(text)
    for place, name in enumerate(path):
        if not isinstance(node.value, dict):
            raise NotJson(f"'{'.'.join(path[:place]) or 'the file'}' is not an object")
        if name not in node.value:
            for inner in reversed(path[place + 1 :]):
                value = {inner: value}
            return _insert(text, node, name, (value, _unit(text, root)))
        node = _member(node, name).node
    return text[: node.start] + _dumped(text, value, _indent(text, node.start), _unit(text, root)) + text[node.end :]


def _insert(text: str, node: Node, name: str, what: tuple[Any, str]) -> str:
    """The member becomes the last of the object, behind all comments in it."""
    value, unit = what
    line_end = "\r\n" if "\r\n" in text else "\n"
    base = _indent(text, node.start)
    inner = _indent(text, node.members[0].start) if node.members else base + unit
    inner = inner if len(inner) > len(base) else base + unit
    close = node.end - 1
    kept = text[node.start + 1 : close].rstrip()
    last = node.start + 1 + len(kept)
    comma, style = "", ""
    if node.members and node.members[-1].comma < 0:
        comma = ","
    elif node.members:
        style = ","
    at = node.members[-1].node.end if node.members else node.start + 1
    member = f"{json.dumps(name, ensure_ascii=False)}: {_dumped(text, value, inner, unit)}{style}"
    return text[:at] + comma + text[at:last] + line_end + inner + member + line_end + base + text[close:]


def _cut(text: str, node: Node, member: Member) -> str:
    place = node.members.index(member)
    start, end = member.start, member.node.end if member.comma < 0 else member.comma + 1
    line = text.rfind("\n", 0, start) + 1
    if not text[line:start].strip():  # it begins its line: the line goes with it
        start = max(line - 1, 0)
        start -= text[:start].endswith("\r")
    made = text[:start] + text[end:]
    if place and place == len(node.members) - 1 and member.comma < 0:
        before = node.members[place - 1].comma
        made = made[:before] + made[before + 1 :]
    return made


def _dumped(text: str, value: Any, indent: str, unit: str) -> str:
    lines = json.dumps(value, indent=unit, ensure_ascii=False).split("\n")
    return (("\r\n" if "\r\n" in text else "\n") + indent).join(lines)


def _indent(text: str, at: int) -> str:
    """The blanks at the beginning of the line."""
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _unit(text: str, root: Node) -> str:
    """What the file indents with."""
    if not root.members or "\n" not in text[root.start : root.members[0].start]:
        return "  "
    return _indent(text, root.members[0].start) or "  "


def _meant(value: Any, path: Path, what: Any) -> Any:
    """The value with the member set, or without it for `...`."""
    made = dict(value) if isinstance(value, dict) else {}
    if len(path) > 1:
        made[path[0]] = _meant(made.get(path[0], {}), path[1:], what)
    elif what is ...:
        made.pop(path[0], None)
    else:
        made[path[0]] = what
    return made


def _compare(made: str, meant: Any) -> None:
    if load(made) != meant:
        raise NotJson("it cannot be changed safely")
