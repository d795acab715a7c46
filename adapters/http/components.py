"""A tool's JSON Schema as components of an OpenAPI document: all that it refers to is inside the document."""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote, urldefrag, urljoin

import jsonschema_rs
import orjson

from adapters.spi import Json

PLACE = "#/components/schemas/"
DEEPEST = 100
"""Levels of a schema that are kept; what is deeper may be anything."""
DATA = frozenset({"enum", "const", "default", "example", "examples"})
MAPS = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
NAMES = frozenset({"$schema", "$id", "id", "$anchor", "$dynamicAnchor", "$recursiveAnchor", "$vocabulary"})
"""What gives a schema an identity or a dialect of its own: inside the document, it has neither."""
PLAIN = "/~!$&'()*+,;=:@-._?"
"""Characters that a fragment of a URI may hold as they are, beside letters and digits."""
REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
NOWHERE = "urn:doolittle:schema"


def components(name: str, schema: bytes) -> dict[str, Json]:
    """The schema under `name`, and each of its definitions as `name.Definition`. Every reference in them is to one
    of them; what referred elsewhere may be anything, as may what is no JSON Schema. The gateway checks arguments
    by the whole schema all the same."""
    whole = orjson.loads(schema)
    found = _Embedding(name, whole).run() if isinstance(whole, dict) else {name: {}}
    for of, one in found.items():
        if not _sound(one):
            found[of] = {"type": "object", "properties": {}} if of == name else {}
    leads: dict[str, bool] = {}
    for one in found.values():
        _without_dangling(one, found, leads)
    return found


class _Embedding:
    def __init__(self, name: str, whole: dict[str, Any]) -> None:
        self._whole = whole
        self._name = name
        self._moved = {"": name}
        """Pointers into the schema, each with the component that stands there."""
        self._taken: set[str] = set()
        self._known: dict[str, str] = {}
        """URIs of schemas and anchors, each with its pointer."""

    def run(self) -> dict[str, Json]:
        for key in ("$defs", "definitions"):
            of = self._whole.get(key)
            for title in of if isinstance(of, dict) else ():
                self._moved[f"/{key}/{_escaped(title)}"] = self._free(title)
        self._learn(self._whole, "", NOWHERE)
        rest = {key: value for key, value in self._whole.items() if key not in ("$defs", "definitions")}
        found: dict[str, Json] = {self._name: self._schema(rest, 0, _base(self._whole, NOWHERE))}
        for pointer, name in self._moved.items():
            if pointer:
                base = _base(self._whole, NOWHERE)
                found[name] = self._schema(_at(self._whole, pointer), 0, base)
        return found

    def _free(self, title: str) -> str:
        name = f"{self._name}.{re.sub(r'[^a-zA-Z0-9_-]+', '_', title)[:64] or '_'}"
        if name in self._taken:
            name = f"{name}.{len(self._taken)}"
        self._taken.add(name)
        return name

    def _learn(self, said: Json, pointer: str, base: str, depth: int = 0) -> None:
        """Finds identities and anchors, so that references by them can be turned into pointers."""
        if depth > DEEPEST or not isinstance(said, dict):
            return
        base = _base(said, base)
        if isinstance(said.get("$id"), str) or not pointer:
            self._known.setdefault(base, pointer)
        for anchor in (said.get("$anchor"), said.get("$dynamicAnchor")):
            if isinstance(anchor, str):
                self._known.setdefault(f"{base}#{anchor}", pointer)
        for key, one in _inside(said):
            self._learn(one, f"{pointer}/{key}", base, depth + 1)

    def _schema(self, said: Json, depth: int, base: str) -> Json:
        if not isinstance(said, dict):
            return said
        if depth > DEEPEST:
            return {}
        base = _base(said, base)
        made: dict[str, Any] = {}
        for key, value in said.items():
            if key in REFERENCES and isinstance(value, str):
                target = self._target(value, base)
                if target is not None:
                    made["$ref"] = target
            elif key in DATA or not isinstance(value, dict | list):
                if not (key in NAMES and isinstance(value, str | bool)) and _flat(value, DEEPEST // 4):
                    made[key] = value
            elif key in MAPS and isinstance(value, dict):
                made[key] = {name: self._schema(one, depth + 1, base) for name, one in value.items()}
            elif isinstance(value, list):
                made[key] = [self._schema(one, depth + 1, base) for one in value]
            else:
                made[key] = self._schema(value, depth + 1, base)
        return _of_today(made)

    def _target(self, reference: str, base: str) -> str | None:
        """Where what is referred to stands in the document; None if it is not inside."""
        uri, fragment = _joined(base, reference)
        start = self._known.get(uri)
        if start is None:
            return None
        fragment = unquote(fragment)
        pointer = start + fragment if fragment[:1] in ("", "/") else self._known.get(f"{uri}#{fragment}")
        if pointer is None:
            return None
        stem = "/".join(pointer.split("/")[:3])
        stem = stem if stem in self._moved else ""
        return f"{PLACE}{self._moved[stem]}{quote(pointer[len(stem) :], safe=PLAIN)}"


def _base(said: Mapping[str, Any], base: str) -> str:
    own = said.get("$id")
    return _joined(base, own)[0] or base if isinstance(own, str) else base


def _joined(base: str, reference: str) -> tuple[str, str]:
    """URI and fragment; blanks for what is none."""
    try:
        uri, fragment = urldefrag(base + reference if reference.startswith("#") else urljoin(base, reference))
    except ValueError:
        return "", ""
    return uri, fragment


def _inside(said: Mapping[str, Any]) -> Iterator[tuple[str, Json]]:
    """The schemas right below this one, each with the rest of its pointer."""
    for key, value in said.items():
        if key in DATA:
            continue
        if isinstance(value, dict) and key in MAPS:
            yield from ((f"{key}/{_escaped(name)}", one) for name, one in value.items())
        elif isinstance(value, dict):
            yield key, value
        elif isinstance(value, list):
            yield from ((f"{key}/{index}", one) for index, one in enumerate(value))


def _of_today(said: dict[str, Any]) -> dict[str, Any]:
    """Keywords of older drafts as the present one writes them."""
    if isinstance(said.get("items"), list):
        said["prefixItems"] = said.pop("items")
        if "additionalItems" in said:
            said["items"] = said.pop("additionalItems")
    for key, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(said.get(key), bool) and said.pop(key) and limit in said:
            said[key] = said.pop(limit)
    return said


def _sound(schema: Json) -> bool:
    try:
        return bool(jsonschema_rs.meta.is_valid(schema))
    except (ValueError, TypeError, RecursionError):
        return False


def _without_dangling(said: Json, known: Mapping[str, Json], leads: dict[str, bool]) -> None:
    if not isinstance(said, dict):
        return
    reference = said.get("$ref")
    if isinstance(reference, str) and not _leads(reference, known, leads):
        del said["$ref"]
    for _, one in _inside(said):
        _without_dangling(one, known, leads)


def _leads(reference: str, known: Mapping[str, Json], leads: dict[str, bool]) -> bool:
    """Whether the reference ends at a schema, and not in a circle of references. What was found stands in `leads`."""
    way: list[str] = []
    end: bool | None = None
    while end is None:
        if reference in leads:
            end = leads[reference]
            continue
        leads[reference] = False  # until it is known: whoever comes back here is in a circle
        way.append(reference)
        name, _, rest = reference.removeprefix(PLACE).partition("/")
        found = _at(known.get(name), unquote(f"/{rest}") if rest else "")
        following = found.get("$ref") if isinstance(found, dict) else None
        if not isinstance(found, dict | bool):
            end = False
        elif not isinstance(following, str):
            end = True
        else:
            reference = following
    leads |= dict.fromkeys(way, end)
    return end


def _flat(value: Json, levels: int) -> bool:
    """Whether the value is nested no deeper: what is deeper could not be written."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels > 0 and all(_flat(one, levels - 1) for one in inside)


def _at(said: Json, pointer: str) -> Json:
    """What the pointer points to; None where nothing is."""
    for step in pointer.split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(said, dict):
            said = said.get(key)
        elif isinstance(said, list) and key.isdigit() and int(key) < len(said):
            said = said[int(key)]
        else:
            return None
    return said


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
