"""The operations of a document as tools, each with the way from its arguments to a request."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from adapters.http.far.document import Document, Faulty
from adapters.http.far.schemas import Schemas
from adapters.spi import Json, Tool
from registry.model import schema

METHODS = ("get", "put", "post", "delete", "patch", "query")
MOST = 2_000
"""Operations of one document."""
IGNORED = frozenset({"accept", "content-type", "authorization"})
"""Parameters in headers that OpenAPI says are said elsewhere."""
OURS = frozenset({
    "host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "expect", "keep-alive",
    "proxy-authorization", "proxy-connection", "cookie",
})  # fmt: skip
"""Headers that belong to the connection: no argument sets them."""
STYLES = {"path": "simple", "query": "form", "header": "simple", "cookie": "form"}
KNOWN_STYLES = {
    "path": {"simple", "label", "matrix"},
    "query": {"form", "spaceDelimited", "pipeDelimited", "deepObject"},
    "header": {"simple"},
    "cookie": {"form"},
}
JSON = re.compile(r"application/(?:[\w.+-]+\+)?json\b|application/json")
HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
NOT_IN_KEYS = re.compile(r"[^a-zA-Z0-9_.-]+")
FILE: Mapping[str, Json] = {
    "type": "object",
    "properties": {
        "base64": {"type": "string", "contentEncoding": "base64"},
        "name": {"type": "string"},
        "mediaType": {"type": "string"},
    },
    "required": ["base64"],
    "additionalProperties": False,
}
"""How bytes stand in arguments."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """`argument` becomes `wire` in the path, query, header or cookie; as JSON, or in a style of OpenAPI."""

    argument: str
    wire: str
    where: str
    style: str = ""
    explode: bool = False
    reserved: bool = False
    json: bool = False


@dataclass(frozen=True, slots=True)
class Body:
    """`fields` are the properties of the body that are arguments of their own, each with its name in the body; without
    them, the argument `whole` is the body. `encodings` are of OpenAPI, by name in the body."""

    media_type: str
    whole: str = ""
    fields: Mapping[str, str] = field(default_factory=dict[str, str])
    encodings: Mapping[str, Mapping[str, Json]] = field(default_factory=dict[str, Mapping[str, Json]])
    required: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """`security` are alternatives, each the names of schemes; `wrapped`: an answer that is no object is told as
    `{"result": …}`."""

    tool: Tool
    method: str
    path: str
    server: str
    parameters: tuple[Parameter, ...] = ()
    body: Body | None = None
    security: tuple[tuple[str, ...], ...] = ()
    wrapped: bool = False


def operations(document: Document, chosen: tuple[str, ...] = ("*",)) -> tuple[list[Operation], dict[str, str]]:
    """The chosen operations, and those that cannot be called, each with why.

    `chosen` are globs over the operation's id, "GET /pets/{id}", and its tags.
    """
    found: list[Operation] = []
    left_out: dict[str, str] = {}
    ids = Counter(str(said.get("operationId", "")) for _, _, _, said in _each(document))
    for method, path, item, said in _each(document):
        place = f"{method.upper()} {path}"
        id = said.get("operationId")
        native = id if isinstance(id, str) and id and ids[id] == 1 else place
        if not _is_chosen((native, place, *_tags(said)), chosen):
            continue
        if len(found) == MOST:
            left_out[place] = f"a document has at most {MOST:,} operations"
            continue
        try:
            found.append(_Reader(document, item, said).read(native, method, path))
        except (Faulty, TypeError, AttributeError) as fault:
            left_out[place] = str(fault) if isinstance(fault, Faulty) else "it is not written as OpenAPI says"
    return found, left_out


def _tags(said: Mapping[str, Json]) -> list[str]:
    tags = said.get("tags")
    return [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []


def _is_chosen(names: tuple[str, ...], globs: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs for name in names)


def _each(document: Document) -> Iterator[tuple[str, str, Mapping[str, Json], Mapping[str, Json]]]:
    """Method, path, path item and operation."""
    for path, given in document.said.get("paths", {}).items():
        try:
            item = document.follow(given)
        except Faulty:
            continue
        for method in METHODS:
            if isinstance(item.get(method), dict) and path.startswith("/"):
                yield method, path, item, item[method]


class _Reader:
    """Reads one operation."""

    def __init__(self, document: Document, item: Mapping[str, Json], said: Mapping[str, Json]) -> None:
        self._document = document
        self._item = item
        self._said = said
        self._sent = Schemas(document, "readOnly")
        self._properties: dict[str, Json] = {}
        self._required: list[str] = []

    def read(self, native: str, method: str, path: str) -> Operation:
        """Raises `Faulty`."""
        given = [(one, self._document.follow(one)) for one in self._parameters()]
        body = self._document.follow(self._said["requestBody"]) if "requestBody" in self._said else {}
        media_type, content = _preferred(body.get("content") or {})
        fields = self._fields(media_type, content)
        parameters = self._arguments([said for _, said in given], set(fields))
        missing = set(re.findall(r"\{([^{}]+)\}", path)) - {p.wire for p in parameters if p.where == "path"}
        if missing:
            raise Faulty(f"nothing says what '{min(missing)}' in its path is")
        found = self._body(media_type, content, fields, required=body.get("required") is True)
        output, wrapped = self._output()
        tool = Tool(
            native=native,
            description=self._description(method, path),
            input_schema=schema(_object(self._properties, self._required, self._sent.defs)),
            output_schema=schema(output) if output is not None else None,
            title=_text(self._said.get("summary")),
            annotations=_annotations(method),
        )
        security = self._said.get("security", self._document.said.get("security") or [])
        return Operation(
            tool, method.upper(), path, self._server(), tuple(parameters), found,
            tuple(tuple(one) for one in security if isinstance(one, dict)), wrapped,
        )  # fmt: skip

    def _description(self, method: str, path: str) -> str:
        about = [_text(self._said.get(key)) for key in ("summary", "description")]
        said = "\n\n".join(dict.fromkeys(text for text in about if text)) or f"{method.upper()} {path}"
        return f"Deprecated. {said}" if self._said.get("deprecated") is True else said

    def _server(self) -> str:
        """The first server's URL, its variables filled in; it may be relative."""
        for holder in (self._said, self._item, self._document.said):
            servers = holder.get("servers")
            if isinstance(servers, list) and servers:
                url, variables = _text(servers[0].get("url")), servers[0].get("variables") or {}
                for name, one in variables.items():
                    url = url.replace(f"{{{name}}}", _text(one.get("default")))
                return url
        return "/"

    # -- parameters -----------------------------------------------------------------------------------------------

    def _parameters(self) -> list[Json]:
        """Those of the path item, unless the operation has its own of that name and place."""
        found: dict[tuple[Json, Json], Json] = {}
        for one in [*(self._item.get("parameters") or []), *(self._said.get("parameters") or [])]:
            said = self._document.follow(one)
            found[said.get("name"), said.get("in")] = one
        return list(found.values())

    def _arguments(self, given: list[Mapping[str, Json]], taken: set[str]) -> list[Parameter]:
        used = [one for one in given if not _unsaid(one)]
        often = Counter(_key(_text(one.get("name"))) for one in used)
        found: list[Parameter] = []
        for said in used:
            wire, where = _text(said.get("name")), _text(said.get("in"))
            argument = _key(wire)
            if often[argument] > 1 or argument in taken:
                argument = _free(f"{argument}__{where}", taken | {p.argument for p in found})
            found.append(self._parameter(said, argument, wire, where))
        return found

    def _parameter(self, said: Mapping[str, Json], argument: str, wire: str, where: str) -> Parameter:
        if where not in STYLES or not wire:
            raise Faulty(f"its parameter '{wire[:40]}' is in '{where[:40]}'")
        if where == "header" and not HEADER.match(wire):
            raise Faulty(f"its parameter '{wire[:40]}' is no name of a header")
        style = said.get("style") or STYLES[where]
        if style not in KNOWN_STYLES[where]:
            raise Faulty(f"its parameter '{wire[:40]}' has the style '{str(style)[:40]}'")
        media_type, content = _preferred(said.get("content") or {})
        shape = self._sent.of(content.get("schema", {}) if media_type else said.get("schema", {}))
        described = _text(said.get("description"))
        if isinstance(shape, dict) and described and not shape.get("description"):
            shape = {**shape, "description": described}
        self._properties[argument] = shape
        if said.get("required") is True or where == "path":
            self._required.append(argument)
        return Parameter(
            argument, wire, where, style, bool(said.get("explode", style == "form")),
            said.get("allowReserved") is True, bool(media_type),
        )  # fmt: skip

    # -- body -----------------------------------------------------------------------------------------------------

    def _fields(self, media_type: str, content: Mapping[str, Json]) -> dict[str, str]:
        """Properties of a plain object in the body, by the arguments that they become."""
        said = self._plain(content.get("schema"))
        if said is None or not (JSON.match(media_type) or media_type in FORMS):
            return {}
        found: dict[str, str] = {}
        for name, one in said["properties"].items():
            if not self._hidden(one):
                found[_free(_key(name), set(found))] = name
        return found

    def _hidden(self, said: Json) -> bool:
        return isinstance(said, dict) and self._document.follow(said).get("readOnly") is True

    def _plain(self, said: Json) -> Mapping[str, Json] | None:
        """The schema, if it is of an object whose properties are all that there is to it."""
        found = self._document.follow(said) if isinstance(said, dict) else {}
        composed = found.keys() & {"allOf", "anyOf", "oneOf", "not", "if", "patternProperties", "dependentSchemas"}
        more = found.get("additionalProperties")
        plain = found.get("type", "object") == "object" and not composed and not isinstance(more, dict)
        properties = found.get("properties")
        return found if plain and isinstance(properties, dict) and properties and more is not True else None

    def _body(
        self, media_type: str, content: Mapping[str, Json], fields: Mapping[str, str], *, required: bool
    ) -> Body | None:
        if not media_type:
            return None
        said = content.get("schema", {})
        encodings = content.get("encoding") or {}
        plain = self._plain(said)
        if fields and plain is not None:
            wanted = set(plain.get("required") or []) if required else set[str]()
            for argument, name in fields.items():
                kind = _text((encodings.get(name) or {}).get("contentType"))
                self._properties[argument] = self._field(media_type, plain["properties"][name], kind)
                if name in wanted:
                    self._required.append(argument)
            return Body(media_type, "", fields, encodings, required)
        whole = _free("body", set(self._properties))
        self._properties[whole] = self._whole(media_type, said)
        if required:
            self._required.append(whole)
        return Body(media_type, whole, {}, encodings, required)

    def _field(self, media_type: str, said: Json, kind: str) -> Json:
        if media_type != MULTIPART:
            return self._sent.of(said)
        one = self._document.follow(said) if isinstance(said, dict) else {}
        if _is_bytes(one) or ("type" not in one and kind and not JSON.match(kind) and not kind.startswith("text/")):
            return _file(one)
        items = one.get("items")
        if one.get("type") == "array" and isinstance(items, dict) and _is_bytes(self._document.follow(items)):
            return {"type": "array", "items": _file({}), "description": _text(one.get("description"))}
        return self._sent.of(said)

    def _whole(self, media_type: str, said: Json) -> Json:
        if JSON.match(media_type) or media_type in FORMS:
            return self._sent.of(said)
        if media_type.startswith("text/") or media_type.endswith(("xml", "yaml")):
            return {"type": "string", "description": f"The body, as {media_type}."}
        return _file({"description": f"The body, as {media_type}."})

    # -- answers --------------------------------------------------------------------------------------------------

    def _output(self) -> tuple[Mapping[str, Json] | None, bool]:
        """The schema of what the tool gives, and whether that is told in `{"result": …}`."""
        responses: Mapping[str, Any] = self._said.get("responses") or {}
        good = sorted(code for code in responses if re.fullmatch(r"2\d\d|2XX", code))
        if not good:
            return None, False
        described = [self._document.follow(responses[code]).get("content") or {} for code in good]
        media_type, content = _preferred(described[0])
        if not JSON.match(media_type) or "schema" not in content or any(described[1:]):
            return None, False
        received = Schemas(self._document, "writeOnly")
        try:
            shape = received.of(content["schema"])
            defs = received.defs
        except Faulty:
            return None, False  # the tool is called all the same
        resolved = self._document.follow(content["schema"]) if isinstance(content["schema"], dict) else {}
        if resolved.get("type") == "object" and isinstance(shape, dict):
            return {**shape, "type": "object", **({"$defs": defs} if defs else {})}, False
        return _object({"result": shape}, ["result"], defs, closed=False), True


MULTIPART = "multipart/form-data"
FORMS = frozenset({MULTIPART, "application/x-www-form-urlencoded"})
LIKED = (JSON, re.compile("application/x-www-form-urlencoded"), re.compile(MULTIPART), re.compile("text/"))


def _preferred(content: Mapping[str, Json]) -> tuple[str, Mapping[str, Json]]:
    """The media type, without its parameters, that is taken of several, and what is said of it; "" where is none."""
    for liked in (*LIKED, re.compile("")):
        for media_type, said in content.items():
            if liked.match(media_type.lower()) and isinstance(said, dict):
                return media_type.lower().partition(";")[0].strip(), said
    return "", {}


def _unsaid(said: Mapping[str, Json]) -> bool:
    """Whether a parameter is not for the caller to say."""
    name = _text(said.get("name")).lower()
    return said.get("in") == "header" and name in IGNORED | OURS


def _is_bytes(said: Mapping[str, Json]) -> bool:
    raw = "contentMediaType" in said and "contentEncoding" not in said
    return said.get("type", "string") == "string" and (said.get("format") == "binary" or raw)


def _file(said: Mapping[str, Json]) -> Json:
    about = _text(said.get("description"))
    return {**FILE, "description": about} if about else dict(FILE)


def _key(name: str) -> str:
    """The name as models may write it: of letters, digits, `_.-`, at most 50 characters."""
    return NOT_IN_KEYS.sub("_", name)[:50].strip("_") or "_"


def _free(wanted: str, taken: set[str]) -> str:
    name, number = wanted, 1
    while name in taken:
        number += 1
        name = f"{wanted}_{number}"
    return name


def _object(
    properties: Mapping[str, Json], required: list[str], defs: Mapping[str, Json], *, closed: bool = True
) -> dict[str, Json]:
    found: dict[str, Json] = {"type": "object", "properties": dict(properties)}
    if required:
        found["required"] = required
    if closed:
        found["additionalProperties"] = False
    return {**found, "$defs": dict(defs)} if defs else found


def _annotations(method: str) -> dict[str, Json]:
    reads = method in ("get", "query")
    again = reads or method in ("put", "delete")
    destroys = not reads and method != "post"
    return {"readOnlyHint": reads, "idempotentHint": again, "destructiveHint": destroys, "openWorldHint": True}


def _text(value: Json) -> str:
    return value.strip() if isinstance(value, str) else ""
