"""An OpenAPI document: read within bounds, its references followed inside it alone."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import orjson
import yaml

from registry.model import Json

MOST_YAML = 4 * 2**20
"""Bytes of YAML that are read; parsing takes some 10 s a megabyte of pathological text, and less than 1 s of usual."""
MOST_NODES = 2_000_000
"""Values in a document, those counted again to which an alias of YAML leads."""
MOST_HOPS = 32
VERSIONS = ("3.0.", "3.1.", "3.2.")


class Faulty(ValueError):
    """What is wrong with a document, or with one of its operations, in the operator's words."""


class Document:
    """`said` is the parsed document; `old` that it is of 3.0, whose schemas are not JSON Schema."""

    def __init__(self, said: Mapping[str, Json]) -> None:
        self.said = said
        version = said.get("openapi")
        if "swagger" in said:
            raise Faulty("the document is of Swagger 2.0; convert it to OpenAPI 3 first")
        if not isinstance(version, str) or not version.startswith(VERSIONS):
            raise Faulty("the document is not of OpenAPI 3.0, 3.1 or 3.2")
        if not isinstance(said.get("paths", {}), dict):
            raise Faulty("the document has no 'paths'")
        self.old = version.startswith("3.0.")

    def at(self, pointer: str) -> Json:
        """What stands at "#/a/b" (RFC 6901). Raises `Faulty`, for other documents too: they are not fetched."""
        if not pointer.startswith("#/"):
            raise Faulty(f"'{pointer[:80]}' refers to another document, which is not fetched")
        found: Any = self.said
        for step in pointer[2:].split("/"):
            key = unquote(step).replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and key.isascii() and key.isdigit() and int(key) < len(found):
                found = found[int(key)]
            elif isinstance(found, dict) and key in found:
                found = found[key]
            else:
                raise Faulty(f"'{pointer[:80]}' leads nowhere")
        return found

    def follow(self, node: Json) -> Mapping[str, Json]:
        """The object itself, or the one to which its `$ref`s lead. Raises `Faulty`."""
        for _ in range(MOST_HOPS):
            if not isinstance(node, dict):
                raise Faulty("an object was expected")
            if not isinstance(node.get("$ref"), str):
                return node
            node = self.at(node["$ref"])
        raise Faulty("references lead in a circle")


def parse(raw: bytes) -> Document:
    """The document in JSON or YAML. Blocks for a while: call it in a thread. Raises `Faulty`."""
    try:
        said: Any = orjson.loads(raw)
    except orjson.JSONDecodeError:
        said = _yaml(raw)
    if not isinstance(said, dict):
        raise Faulty("the document is neither JSON nor YAML of an object")
    return Document(said)


def _yaml(raw: bytes) -> Json:
    if len(raw) > MOST_YAML:
        raise Faulty(f"the document is no JSON, and as YAML too large (over {MOST_YAML >> 20} MB)")
    try:
        said = _Loader(raw).get_single_data()
    except (yaml.YAMLError, ValueError, RecursionError) as fault:
        where = getattr(fault, "problem_mark", None)
        raise Faulty(f"the document is neither JSON nor YAML{f' (line {where.line + 1})' if where else ''}") from fault
    _count(said)
    return said


class _Loader(yaml.CSafeLoader):
    """Texts that look like dates stay texts, as in JSON."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:timestamp"]
    for first, found in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def _count(said: Json) -> None:
    """Aliases of YAML make a kilobyte stand for a billion values: they are counted before anybody walks over them."""
    left = MOST_NODES
    waiting: list[Any] = [said]
    while waiting:
        one = waiting.pop()
        left -= 1
        if left < 0:
            raise Faulty(f"the document stands for more than {MOST_NODES:,} values")
        if isinstance(one, dict):
            if not all(isinstance(key, str) for key in one):
                for key in [k for k in one if not isinstance(k, str)]:
                    one[str(key)] = one.pop(key)  # responses by number
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
