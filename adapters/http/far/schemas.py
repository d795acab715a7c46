"""Schemas of OpenAPI as JSON Schemas of 2020-12, each with the definitions that it refers to."""

import re
from collections.abc import Mapping
from typing import Any

from adapters.http.far.document import Document, Faulty
from registry.model import Json

ONE = frozenset({
    "items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames", "additionalItems",
    "unevaluatedItems", "unevaluatedProperties", "contentSchema",
})  # fmt: skip
MANY = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
NAMED = frozenset({"properties", "patternProperties", "dependentSchemas", "$defs", "definitions"})
LEFT_OUT = frozenset({"example", "examples", "xml", "externalDocs", "discriminator", "$schema", "$comment"})
"""They say nothing of what is valid, and cost the caller's model words."""
BASES = ("$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef")
"""Keywords that give references another meaning."""
MOST_PARTS = 50_000
"""Subschemas of one tool."""
DEEPEST = 64
NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]")


class Schemas:
    """Converts the schemas of one tool, for one direction; `defs` are what their references need.

    `hidden` is the keyword of properties that do not travel in this direction: "readOnly" or "writeOnly".
    """

    def __init__(self, document: Document, hidden: str) -> None:
        self._document = document
        self._hidden = hidden
        self._names: dict[str, str] = {}
        self._waiting: list[str] = []
        self._parts = 0
        self._defs: dict[str, Json] = {}

    def of(self, said: Json) -> Json:
        """Raises `Faulty`."""
        return self._of(said, 0)

    @property
    def defs(self) -> dict[str, Json]:
        """All definitions, those too that definitions refer to. Raises `Faulty`."""
        while self._waiting:
            pointer = self._waiting.pop()
            self._defs[self._names[pointer]] = self._of(self._document.at(pointer), 0)
        return self._defs

    def _of(self, said: Json, depth: int) -> Json:
        self._parts += 1
        if self._parts > MOST_PARTS or depth > DEEPEST:
            raise Faulty("its schema is too large or too deep")
        if isinstance(said, bool):
            return said
        if said is None:
            return {}
        if not isinstance(said, dict):
            raise Faulty("one of its schemas is none")
        if base := next((key for key in BASES if key in said), None):
            raise Faulty(f"its schema has '{base}'")
        found: dict[str, Json] = {}
        if isinstance(said.get("$ref"), str):
            found["$ref"] = self._ref(said["$ref"])
            if self._document.old:
                return found
        for key, value in said.items():
            if key not in LEFT_OUT and key != "$ref" and not key.startswith("x-"):
                found[key] = self._keyword(key, value, depth + 1)
        self._hide(found, said)
        _bound(found)
        return _nullable(found) if self._document.old else found

    def _keyword(self, key: str, value: Json, depth: int) -> Json:
        if key in ONE and isinstance(value, dict | bool):
            return self._of(value, depth)
        if key in MANY and isinstance(value, list):
            return [self._of(one, depth) for one in value]
        if key in NAMED and isinstance(value, dict):
            return {name: self._of(one, depth) for name, one in value.items()}
        return value

    def _ref(self, pointer: str) -> str:
        if pointer not in self._names:
            self._document.at(pointer)
            wanted = NOT_IN_NAMES.sub("_", pointer.rpartition("/")[2])[:60] or "_"
            name, number = wanted, 1
            while name in self._names.values():
                number += 1
                name = f"{wanted}_{number}"
            self._names[pointer] = name
            self._waiting.append(pointer)
        return f"#/$defs/{self._names[pointer]}"

    def _hide(self, found: dict[str, Json], said: Mapping[str, Json]) -> None:
        properties = said.get("properties")
        if not isinstance(properties, dict):
            return
        gone = {name for name, one in properties.items() if self._is_hidden(one)}
        if gone:
            found["properties"] = {name: one for name, one in found["properties"].items() if name not in gone}
            if isinstance(found.get("required"), list):
                found["required"] = [name for name in found["required"] if name not in gone]

    def _is_hidden(self, said: Json) -> bool:
        try:
            return self._document.follow(said).get(self._hidden) is True
        except Faulty:
            return False


def _bound(found: dict[str, Json]) -> None:
    """Bounds that are exclusive by a word beside them, as 3.0 says it, and documents of 3.1 by mistake."""
    for bound in ("Minimum", "Maximum"):
        exclusive = found.get(f"exclusive{bound}")
        if isinstance(exclusive, bool):
            del found[f"exclusive{bound}"]
            if exclusive and (limit := found.pop(bound.lower(), None)) is not None:
                found[f"exclusive{bound}"] = limit


def _nullable(found: dict[str, Json]) -> dict[str, Json]:
    """A schema of 3.0 that takes null too."""
    if found.pop("nullable", False) is not True:
        return found
    kind: Any = found.get("type")
    if isinstance(found.get("enum"), list) and None not in found["enum"]:
        found["enum"] = [*found["enum"], None]
    if MANY & found.keys():
        return {"anyOf": [found, {"type": "null"}]}
    return {**found, "type": [kind, "null"]} if isinstance(kind, str) else found
