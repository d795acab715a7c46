"""The weight of a schema: how often one part of the arguments may be looked at. Known before anything is looked at.

Without `$ref` no part is looked at more often than the schema has lines. With it a kilobyte can ask for 2^40 looks,
and an innocent tree of `anyOf` for 3^depth: neither can be stopped once it runs. So the looks are counted here, over
the graph of subschemas: those of the same place ("here"), and those of each key and item below it.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import unquote

from registry.model import Json

Rows: TypeAlias = frozenset[tuple[tuple[int, int], ...]]
"""For each kind of place: which subschemas look there, and how often."""
DEEPEST = 128
"""Levels to which arguments of a recursive schema are checked."""
MOST_LOOKS = 5_000_000
"""Looks at which a check is refused: some 100 ms."""
FEW_LOOKS = 1_000
"""Looks at one place that are never refused: a long list of small things is no harm."""
MOST_STEPS = 200_000
"""Work that the counting itself may be."""
MOST_HOPS = 100
ENDLESS = 10**12
UNEVALUATED = 3
"""How often `unevaluated…` has the subschemas of its own place looked at."""


class TooHeavy(ValueError):
    """The schema can ask for more looks than anybody has time for, or they cannot be counted."""


@dataclass(frozen=True, slots=True)
class Weight:
    """Looks at any one place, at most, by its level. If it `ends`, there are none on levels below the last of them."""

    looks: tuple[int, ...]
    ends: bool

    def refuses(self, value: Json) -> str:
        """Why this value is not checked; empty where it can be."""
        wide = levels(value, DEEPEST)
        if len(wide) > len(self.looks) and not self.ends:
            return f"nested deeper than {len(self.looks) - 1} levels, to which this tool's arguments can be checked"
        if self._total(wide, FEW_LOOKS) > MOST_LOOKS:
            return "nested too deeply and too widely to be checked against this tool's schema"
        return ""

    def exceeds(self, value: Json, few: int, most: int) -> bool:
        """Whether places that are looked at more than `few` times are looked at more than `most` times in all."""
        return self._total(levels(value, DEEPEST), few) > most

    def _total(self, wide: list[int], few: int) -> int:
        return sum(places * looks for places, looks in zip(wide, self.looks, strict=False) if looks > few)


def levels(value: Json, deepest: int) -> list[int]:
    """Places on each level of a JSON value, the root first; stops below `deepest`."""
    wide: list[int] = []
    level: list[Any] = [value]
    while level and len(wide) <= deepest + 1:
        wide.append(len(level))
        below: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                below.extend(one.values())
            elif isinstance(one, list | tuple):
                below.extend(one)
        level = below
    return wide


def weigh(document: Json) -> Weight | None:
    """None for a schema without references. Raises `TooHeavy`."""
    graph = _Graph(document)
    if not graph.refers:
        return None
    looks: list[int] = []
    now = {node: graph.size(node) for node in graph.rows}
    work = sum(len(row) for rows in graph.rows.values() for row in rows)
    while len(looks) <= DEEPEST and now[0] <= MOST_LOOKS:
        looks.append(now[0])
        graph.spend(work)
        below = {node: max(_sums(rows, now), default=0) for node, rows in graph.rows.items()}
        if not any(below.values()):
            return Weight(tuple(looks), True)
        if below == now:
            looks += [now[0]] * (DEEPEST + 1 - len(looks))
        now = below
    if not looks:
        raise TooHeavy("its references multiply without measure")
    return Weight(tuple(looks), False)


def _sums(rows: Rows, now: Mapping[int, int]) -> Iterator[int]:
    for row in rows:
        yield min(ENDLESS, sum(times * now[node] for node, times in row))


HERE = ("not", "if", "then", "else")
HERE_LISTS = ("allOf", "anyOf", "oneOf")
HERE_MAPS = ("dependentSchemas", "dependencies")
BELOW = (
    "properties", "patternProperties", "additionalProperties", "propertyNames", "unevaluatedProperties",
    "items", "prefixItems", "additionalItems", "contains", "unevaluatedItems",
)  # fmt: skip
APPLIES = frozenset((*HERE, *HERE_LISTS, *HERE_MAPS, *BELOW))
AWAY = ("$dynamicRef", "$recursiveRef")


@dataclass(slots=True)
class _Below:
    """Subschemas of what lies below: of one key, of all others, and of every one."""

    named: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    others: list[int] = field(default_factory=list[int])
    every: list[int] = field(default_factory=list[int])


@dataclass(slots=True)
class _Node:
    here: list[int]
    keys: _Below
    items: _Below


class _Graph:
    """The subschemas that can be reached from the root, which is node 0.

    `rows`: for each, and each kind of place below it, the subschemas that look there and how often.
    """

    def __init__(self, document: Json) -> None:
        self._document = document
        self._steps = 0
        self._numbers: dict[int, int] = {}
        self._schemas: list[dict[str, Any]] = []
        self._members: dict[int, Counter[int]] = {}
        self.refers = False
        self._uncounted = ""
        self.rows: dict[int, Rows] = {}
        self._ids = ("$id",)
        self._root_id = ""
        if isinstance(document, dict):
            self._root_id = str(document.get("$id", ""))
            self._ids = ("$id", "id") if "draft-04" in str(document.get("$schema")) else ("$id",)
        self._number(document)
        self._nodes: list[_Node] = []
        while len(self._nodes) < len(self._schemas):
            self._nodes.append(self._read(self._schemas[len(self._nodes)]))
        if self.refers:
            if self._uncounted:
                raise TooHeavy(self._uncounted)
            for node in range(len(self._nodes)):
                self.rows[node] = self._below(node)

    def spend(self, steps: int) -> None:
        """Raises `TooHeavy` when too much was spent."""
        self._steps += steps
        if self._steps > MOST_STEPS:
            raise TooHeavy("its references are too many to be counted")

    def size(self, node: int) -> int:
        """Looks at the place itself."""
        return min(ENDLESS, self._members[node].total())

    # -- reading -----------------------------------------------------------------------------------------------------

    def _number(self, schema: Any) -> list[int]:
        """Of a subschema, or of what it is but a reference to; true and false cost nothing."""
        for _ in range(MOST_HOPS):
            if not isinstance(schema, dict):
                return []
            ref = schema.get("$ref")
            if not isinstance(ref, str) or schema is self._document or not APPLIES.isdisjoint(schema):
                break
            self._place(schema)
            schema = self._target(ref)
        else:
            raise TooHeavy("it refers to itself without end")
        known = self._numbers.get(id(schema))
        if known is None:
            known = self._numbers[id(schema)] = len(self._schemas)
            self._schemas.append(schema)
        return [known]

    def _numbers_of(self, schemas: Any) -> list[int]:
        found = schemas.values() if isinstance(schemas, dict) else schemas if isinstance(schemas, list) else ()
        return [number for one in found for number in self._number(one)]

    def _read(self, schema: dict[str, Any]) -> _Node:
        self._place(schema)
        here = [number for word in HERE for number in self._number(schema.get(word))]
        for word in (*HERE_LISTS, *HERE_MAPS):
            here += self._numbers_of(schema.get(word))
        if any(word in schema for word in AWAY):
            self.refers = True
            self._uncounted = "its references change with the place, and cannot be counted"
        if isinstance(schema.get("$ref"), str):
            here += self._number(self._target(schema["$ref"]))
        return _Node(here, self._keys(schema), self._items(schema))

    def _keys(self, schema: dict[str, Any]) -> _Below:
        properties = schema.get("properties")
        named = {k: self._number(v) for k, v in properties.items()} if isinstance(properties, dict) else {}
        every = self._numbers_of(schema.get("patternProperties"))
        every += self._number(schema.get("propertyNames")) + self._number(schema.get("unevaluatedProperties"))
        return _Below(named, self._number(schema.get("additionalProperties")), every)

    def _items(self, schema: dict[str, Any]) -> _Below:
        items = schema.get("items")
        first = schema.get("prefixItems", items)
        named = {str(n): self._number(one) for n, one in enumerate(first)} if isinstance(first, list) else {}
        others = self._number(items) + self._number(schema.get("additionalItems"))
        return _Below(
            named, others, self._number(schema.get("contains")) + self._number(schema.get("unevaluatedItems"))
        )

    def _target(self, ref: str) -> Any:
        """What a reference within the document names. Raises `TooHeavy` for any other."""
        self.refers = True
        if self._root_id and ref.startswith(self._root_id):
            ref = ref[len(self._root_id) :]
        if ref in ("", "#"):
            return self._document
        if not ref.startswith("#/"):
            return self._anchor(ref)
        found: Any = self._document
        for step in ref[2:].split("/"):
            key = unquote(step).replace("~1", "/").replace("~0", "~")
            self._place(found)
            if isinstance(found, list) and key.isdecimal() and len(key) < 9 and int(key) < len(found):
                found = found[int(key)]
            elif isinstance(found, dict) and key in found:
                found = found[key]
            else:
                raise TooHeavy(f"its reference '{ref[:80]}' leads nowhere")
        return found

    def _place(self, schema: Any) -> None:
        """Notes a part that moves: references in it start from another address than the document's."""
        inner = isinstance(schema, dict) and schema is not self._document
        if inner and any(isinstance(schema.get(word), str) for word in self._ids):
            self._uncounted = "a part of it has an address of its own, so that its references cannot be counted"

    def _anchor(self, ref: str) -> Any:
        definitions = self._document.get("$defs")
        for one in definitions.values() if isinstance(definitions, dict) else ():
            if ref.startswith("#") and isinstance(one, dict) and one.get("$anchor") == ref[1:]:
                return one
        raise TooHeavy(f"its reference '{ref[:80]}' leads out of it")

    # -- counting ----------------------------------------------------------------------------------------------------

    def _all(self, root: int) -> Counter[int]:
        """All subschemas that look at the same place as this one, and how often."""
        path: list[int] = [root]
        within: set[int] = set()
        while path:
            node = path[-1]
            if node in self._members:
                path.pop()
                continue
            missing = [other for other in self._nodes[node].here if other not in self._members]
            if missing and node in within:
                raise TooHeavy("it refers to itself without end")
            if missing:
                within.add(node)
                path += missing
                continue
            path.pop()
            within.discard(node)
            self._members[node] = self._joined(node)
        return self._members[root]

    def _joined(self, node: int) -> Counter[int]:
        schema = self._schemas[node]
        again = UNEVALUATED if "unevaluatedProperties" in schema or "unevaluatedItems" in schema else 1
        joined = Counter({node: 1})
        for other in self._nodes[node].here:
            self.spend(len(self._members[other]))
            for member, times in self._members[other].items():
                joined[member] = min(ENDLESS, joined[member] + again * times)
        return joined

    def _below(self, node: int) -> Rows:
        members = self._all(node)
        keys = self._rows([(self._nodes[m].keys, times) for m, times in members.items()])
        return keys | self._rows([(self._nodes[m].items, times) for m, times in members.items()])

    def _rows(self, members: list[tuple[_Below, int]]) -> Rows:
        """One row for each key that a member names, and one for all other keys."""
        names: set[str | None] = {None}
        for below, _ in members:
            names.update(below.named)
        self.spend(len(names) * len(members))
        rows: set[tuple[tuple[int, int], ...]] = set()
        for name in names:
            row: Counter[int] = Counter()
            for below, times in members:
                looking = below.others if name is None else below.named.get(name, below.others)
                for target in (*looking, *below.every):
                    row[target] = min(ENDLESS, row[target] + times)
            if row:
                self.spend(len(row))
                rows.add(tuple(sorted(row.items())))
        return frozenset(rows)
