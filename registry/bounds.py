"""What is kept of a list: plain JSON and plain text of bounded size, whatever came."""

from collections.abc import Mapping
from dataclasses import replace

import orjson

from registry.model import ANYTHING, Address, Agent, Json, Price, Tool

MOST_TEXT = 4096
MOST_NAME = 256
MOST_NATIVE = 4096
MOST_SCHEMA = 256 * 1024
MOST_META = 64 * 1024
PLAIN = orjson.OPT_NON_STR_KEYS


def sound(said: object) -> bool:
    """Whether this is an agent with parts of the right kind: what is wrong in one must not hide the others."""
    if not isinstance(said, Agent):
        return False
    texts: tuple[object, ...] = (said.address.native, said.name, said.description)
    return _all(texts, str) and _all((said.tools,), tuple) and all(_sound_tool(one) for one in said.tools)


def _sound_tool(said: object) -> bool:
    if not isinstance(said, Tool):
        return False
    schemas = (said.input_schema, said.output_schema or b"")
    prices = (said.price,) if said.price is not None else ()
    return _all((said.native, said.title, said.description), str) and _all(schemas, bytes) and _all(prices, Price)


def _all(parts: tuple[object, ...], kind: type) -> bool:
    return all(isinstance(part, kind) for part in parts)


def usable(native: str) -> bool:
    """Whether this can be an identity: it is never cut or mended, for then it would name something else."""
    return bool(native) and native[:MOST_NATIVE].encode("utf-8", "replace").decode() == native


def text(given: str, most: int) -> str:
    """Cut to what is kept, without what a database refuses: NUL, and halves of characters."""
    given = given[:most]
    if given.isascii() and "\0" not in given:
        return given
    return given.encode("utf-8", "replace").decode().replace("\0", "")


def agent(said: Agent, address: Address, slug: str, notes: list[str]) -> Agent:
    """The agent as it is kept, under its address and slug, without its tools."""
    return replace(
        said,
        address=address,
        name=text(said.name, MOST_NAME),
        description=text(said.description, MOST_TEXT),
        meta=_plain(said.meta, f"meta of '{slug}'", notes),
        slug=slug,
        tools=(),
        paused=False,
        degraded=False,
    )


def tool(said: Tool, owner: Agent, name: str, known: Tool | None, notes: list[str]) -> Tool:
    """The tool as it is kept, under its public name. Schemas that are `known` are not looked at again."""
    given, output = said.input_schema, said.output_schema
    if (known is None or given != known.input_schema) and (fault := _fault(given)):
        notes.append(f"the input schema of '{name}' is {fault}, and is not checked")
        given = ANYTHING
    if output is not None and (known is None or output != known.output_schema) and (fault := _fault(output)):
        notes.append(f"the output schema of '{name}' is {fault}, and is left out")
        output = None
    return Tool(
        native=said.native,
        description=text(said.description, MOST_TEXT),
        input_schema=given,
        output_schema=output,
        title=text(said.title, MOST_NAME),
        annotations=_plain(said.annotations, f"annotations of '{name}'", notes),
        price=said.price,
        meta=_plain(said.meta, f"meta of '{name}'", notes),
        name=name,
        agent=owner.slug,
        address=owner.address,
    )


def _fault(schema: bytes) -> str:
    if len(schema) > MOST_SCHEMA:
        return "too large"
    try:
        return "" if isinstance(orjson.loads(schema), dict) else "no JSON object"
    except ValueError:
        return "no JSON"


def _plain(given: Mapping[str, Json], what: str, notes: list[str]) -> dict[str, Json]:
    """As it will come back from the store, so that a restart does not look like a change."""
    if not given:
        return {}
    try:
        said = orjson.dumps(dict(given), default=str, option=PLAIN)
        if len(said) <= MOST_META:
            return orjson.loads(said)
        notes.append(f"the {what} is too large, and is left out")
    except (TypeError, ValueError, RecursionError):
        notes.append(f"the {what} is no JSON, and is left out")
    return {}
