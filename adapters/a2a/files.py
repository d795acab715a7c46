"""Files of a message as arguments of a tool: those whose schema says that they are bytes, and of which kind. Pure."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

import orjson

from adapters.spi import File, Json, Tool
from registry.model import schema

ANY = "application/octet-stream"
"""As bytes of every kind are called on a card."""


class Unfit(Exception):
    """The tool has no place for a file; the text says what it takes."""


@dataclass(frozen=True, slots=True)
class Place:
    """An argument that takes a file, or `many`, of this media type (blank: every one): as text in base64, or as an
    object with the members `about` beside `base64`."""

    argument: str
    media_type: str
    many: bool
    object: bool
    about: frozenset[str]

    def fits(self, file: File) -> bool:
        kind = file.media_type.partition(";")[0].strip().lower()
        return file.body is not None and (not self.media_type or fnmatchcase(kind, self.media_type))

    def value(self, file: File) -> Json:
        text = base64.b64encode(file.body or b"").decode()
        if not self.object:
            return text
        said = {"name": file.name, "mediaType": file.media_type}
        return {"base64": text, **{name: one for name, one in said.items() if one and name in self.about}}


def places(tool: Tool) -> tuple[Place, ...]:
    """Those that must be given first, then those of one kind."""
    return _places(tool.input_schema)


@lru_cache(4096)
def _places(of: bytes) -> tuple[Place, ...]:
    said: Any = orjson.loads(of)
    properties, required = said.get("properties"), said.get("required")
    if not isinstance(properties, dict):
        return ()
    needed = required if isinstance(required, list) else []
    found = [place for name, one in properties.items() if (place := _place(name, one)) is not None]
    return tuple(sorted(found, key=lambda place: (place.argument not in needed, not place.media_type)))


def _place(name: str, said: Any) -> Place | None:
    if not isinstance(said, Mapping):
        return None
    if said.get("type") == "array":
        one = _place(name, said.get("items"))
        return None if one is None or one.many else replace(one, many=True)
    members = said.get("properties") if said.get("type") == "object" else None
    if isinstance(members, Mapping):
        kind = _kind(members.get("base64"))
        return None if kind is None else Place(name, kind, False, True, frozenset(members))
    kind = _kind(said)
    return None if kind is None else Place(name, kind, False, False, frozenset())


def _kind(said: Any) -> str | None:
    """The media type of bytes in base64, blank for every one; None for what is something else."""
    if not isinstance(said, Mapping) or said.get("type", "string") != "string":
        return None
    if said.get("contentEncoding") != "base64" and said.get("format") != "byte":
        return None
    return str(said.get("contentMediaType") or "").lower()


def modes(tool: Tool) -> list[str]:
    """Media types of the files that it takes."""
    return list(dict.fromkeys(place.media_type or ANY for place in places(tool)))


def placed(tool: Tool, files: Sequence[File]) -> tuple[dict[str, Json], Tool]:
    """The arguments that the files are, and the tool as it is for all else. Raises `Unfit`."""
    if not files:
        return {}, tool
    found: dict[str, Any] = {}
    for file in files:
        free = [one for one in places(tool) if one.fits(file) and (one.many or one.argument not in found)]
        if not free:
            raise Unfit(_refusal(tool, file))
        value = free[0].value(file)
        if free[0].many:
            found.setdefault(free[0].argument, []).append(value)
        else:
            found[free[0].argument] = value
    said: Any = orjson.loads(tool.input_schema)
    taken = {place.argument for place in places(tool)}
    rest = {name: one for name, one in said["properties"].items() if name not in taken}
    needed = said.get("required")
    required = [name for name in needed if name not in taken] if isinstance(needed, list) else []
    return found, replace(tool, input_schema=schema({**said, "properties": rest, "required": required}))


def _refusal(tool: Tool, file: File) -> str:
    takes = ["text/plain", "application/json", *(f"{kind} as a file" for kind in modes(tool))]
    told = f"the skill '{tool.name.partition('__')[2] or tool.name}' takes {', '.join(takes)}"
    why = "a file by reference" if file.body is None else f"this file of {file.media_type[:100]}"
    return f"{told}; {why} has no place in it"
