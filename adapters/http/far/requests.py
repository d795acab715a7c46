"""From the arguments of a call to a request, in the styles of OpenAPI (3.1, "Parameter Object", "Encoding Object")."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

import orjson

from adapters.errors import BadArguments
from adapters.http.far.operations import FILE, JSON, MULTIPART, Body, Operation, Parameter
from adapters.spi import Json

RESERVED = ":/?@!$'()*,;"
"""Characters that `allowReserved` leaves as they are, but for those that would begin another part of the URL."""
STEPS = {".", ".."}
SEPARATORS = {"form": ",", "spaceDelimited": "%20", "pipeDelimited": "%7C"}
File = tuple[str | None, bytes, str]


@dataclass(slots=True)
class Parts:
    """A request on its way: the path and query are encoded; of the body, `content` or `files`."""

    path: str
    query: list[str] = field(default_factory=list[str])
    headers: dict[str, str] = field(default_factory=dict[str, str])
    cookies: list[str] = field(default_factory=list[str])
    content: bytes | None = None
    files: list[tuple[str, File]] = field(default_factory=list[tuple[str, File]])

    @property
    def target(self) -> str:
        return self.path + ("?" + "&".join(self.query) if self.query else "")


def parts(operation: Operation, arguments: Mapping[str, Json]) -> Parts:
    """Raises `BadArguments` for what cannot be written where it belongs."""
    found = Parts(operation.path)
    for parameter in operation.parameters:
        if parameter.argument in arguments:
            _place(found, parameter, arguments[parameter.argument])
    if operation.body is not None:
        _fill(found, operation.body, arguments)
    return found


def text(value: Json) -> str:
    """A single value as text: numbers and booleans as JSON writes them."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


# ---- parameters ---------------------------------------------------------------------------------------------------


def _place(found: Parts, parameter: Parameter, value: Json) -> None:
    if parameter.json:
        value = orjson.dumps(value).decode()
    match parameter.where:
        case "path":
            found.path = found.path.replace(f"{{{parameter.wire}}}", _in_path(parameter, value))
        case "query":
            found.query += _in_query(parameter, value)
        case "header":
            found.headers[parameter.wire.lower()] = _printable(_joined(value, parameter.explode, text), parameter)
        case _:
            said = _joined(value, False, _quoted)
            found.cookies.append(f"{quote(parameter.wire, safe='')}={said}")


def _in_path(parameter: Parameter, value: Json) -> str:
    said = _joined(value, parameter.explode, _quoted)
    name = quote(parameter.wire, safe="")
    if parameter.style == "label":
        pieces = _pieces(value, parameter.explode, _quoted)
        said = "." + (".".join(pieces) if parameter.explode else said)
    elif parameter.style == "matrix":
        said = _matrix(name, parameter, value, said)
    if not said or STEPS & set(unquote(said).replace("\\", "/").split("/")):
        raise BadArguments(f"'{parameter.argument}' is a part of a path, and cannot be '{unquote(said)[:40]}'")
    return said


def _matrix(name: str, parameter: Parameter, value: Json, said: str) -> str:
    if not parameter.explode or not isinstance(value, list | dict):
        return f";{name}={said}"
    pieces = _pieces(value, True, _quoted)
    return "".join(f";{piece}" if isinstance(value, dict) else f";{name}={piece}" for piece in pieces)


def _in_query(parameter: Parameter, value: Json) -> list[str]:
    def written(one: Json) -> str:
        return quote(text(one), safe=RESERVED if parameter.reserved else "")

    name = quote(parameter.wire, safe="")
    if parameter.style == "deepObject" and isinstance(value, dict):
        return _deep(name, value, written)
    if not isinstance(value, list | dict):
        return [f"{name}={written(value)}"]
    if parameter.explode and isinstance(value, dict):
        return _pieces(value, True, written)
    if parameter.explode and parameter.style != "deepObject":
        return [f"{name}={written(one)}" for one in value]
    separator = SEPARATORS.get(parameter.style, ",")
    return [f"{name}={separator.join(_pieces(value, False, written))}"]


def _deep(name: str, value: Mapping[str, Json], written: Any) -> list[str]:
    """`name[key]=value`; objects within nest, lists repeat (OpenAPI leaves both open)."""
    found: list[str] = []
    for key, one in value.items():
        inner = f"{name}%5B{quote(key, safe='')}%5D"
        if isinstance(one, dict):
            found += _deep(inner, one, written)
        else:
            found += [f"{inner}={written(each)}" for each in (one if isinstance(one, list) else [one])]
    return found


def _joined(value: Json, explode: bool, written: Any) -> str:
    return ",".join(_pieces(value, explode, written))


def _pieces(value: Json, explode: bool, written: Any) -> list[str]:
    """The values of a list; keys and values of an object, each pair with "=" where it is exploded."""
    if isinstance(value, list):
        return [written(one) for one in value]
    if isinstance(value, dict):
        pairs = [(written(key), written(one)) for key, one in value.items()]
        return [f"{key}={one}" for key, one in pairs] if explode else [each for pair in pairs for each in pair]
    return [written(value)]


def _quoted(value: Json) -> str:
    return quote(text(value), safe="")


def _printable(said: str, parameter: Parameter) -> str:
    if not said.isascii() or not (said.isprintable() or not said):
        raise BadArguments(f"'{parameter.argument}' travels in a header: plain ASCII without line breaks")
    return said


# ---- bodies -------------------------------------------------------------------------------------------------------


def _fill(found: Parts, body: Body, arguments: Mapping[str, Json]) -> None:
    if body.fields:
        given: Any = {name: arguments[key] for key, name in body.fields.items() if key in arguments}
        absent = not given and not body.required
    else:
        given, absent = arguments.get(body.whole), body.whole not in arguments
    if absent:
        return
    if body.media_type == MULTIPART:
        found.files = _multipart(given, body)
        return
    found.headers["content-type"] = body.media_type
    if JSON.match(body.media_type):
        found.content = orjson.dumps(given)
    elif body.media_type == "application/x-www-form-urlencoded":
        found.content = "&".join(_form(given, body)).encode()
    elif isinstance(given, dict):
        found.content = _bytes(given, body.whole)[1]
    else:
        found.content = text(given).encode()


def _form(given: Json, body: Body) -> list[str]:
    found: list[str] = []
    for name, value in _named(given, body).items():
        said = body.encodings.get(name) or {}
        if JSON.match(str(said.get("contentType", ""))):
            value = orjson.dumps(value).decode()
        style = str(said.get("style") or "form")
        explode = bool(said.get("explode", style == "form"))
        found += _in_query(Parameter(name, name, "query", style, explode, said.get("allowReserved") is True), value)
    return found


def _multipart(given: Json, body: Body) -> list[tuple[str, File]]:
    found: list[tuple[str, File]] = []
    for name, value in _named(given, body).items():
        kind = str((body.encodings.get(name) or {}).get("contentType") or "").partition(",")[0].strip()
        values = value if isinstance(value, list) and not JSON.match(kind) else [value]
        found += [(name, _part(name, one, kind)) for one in values]
    return found


def _part(name: str, value: Json, kind: str) -> File:
    if isinstance(value, dict) and "base64" in value and value.keys() <= FILE["properties"].keys():
        named, content, said = _bytes(value, name)
        return named, content, said if value.get("mediaType") else kind or said
    if isinstance(value, dict | list) or JSON.match(kind):
        return None, orjson.dumps(value), kind or "application/json"
    return None, text(value).encode(), kind or "text/plain; charset=utf-8"


def _named(given: Json, body: Body) -> Mapping[str, Json]:
    if not isinstance(given, dict):
        raise BadArguments(f"'{body.whole}' is an object")
    return given


def _bytes(value: Mapping[str, Json], argument: str) -> File:
    """A file in arguments. Raises `BadArguments`."""
    try:
        content = base64.b64decode(value.get("base64", ""), validate=True)
    except (binascii.Error, ValueError, TypeError) as fault:
        raise BadArguments(f"'{argument}' has no valid base64") from fault
    named = str(value.get("name") or "file")
    if not named.isprintable():
        raise BadArguments(f"the name of '{argument}' has characters that are no letters")
    return named, content, str(value.get("mediaType") or "application/octet-stream")
