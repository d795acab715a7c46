"""`doolittle publish coral AGENT`: writes the `coral-agent.toml` by which a Coral server launches an agent of ours;
`doolittle publish coral --tools`: our tools as `customTools` of a session request."""

import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx2
import orjson
import tomlkit

from adapters.coral import translate
from adapters.errors import BadArguments, ConnectFailed, Refused, Unknown
from adapters.spi import Door
from adapters.words import Parser, document, line

FILE = "coral-agent.toml"
MARK = "# Written by `doolittle publish coral`: a second time overwrites it."


def _parser() -> Parser:
    parser = Parser("publish coral", "")
    parser.add_argument("agent", nargs="?", help="The agent's slug, as `doolittle agents` shows it.")
    parser.add_argument("--out", default="", help="The folder for the file; else coral/AGENT.")
    parser.add_argument("--transport", default="streamable_http", choices=("streamable_http", "sse"))
    parser.add_argument("--tools", action="store_true", help="Show the customTools of a session request.")
    parser.add_argument("--json", action="store_true", help="Answer with JSON.")
    return parser


async def command(door: Door, words: Sequence[str]) -> int:
    """Raises `GatewayError`s."""
    said = _parser().read(words)
    if said is None:
        return 0
    if said.tools == bool(said.agent):
        raise BadArguments("name an agent, or --tools")
    if said.tools:
        document(await _ask(door, "tools"))
        return 0
    if not said.agent.replace("-", "").isalnum():
        raise Unknown(f"no agent is called '{said.agent[:80]}'")
    found = await _ask(door, f"agents/{said.agent}")
    folder = Path(said.out or Path("coral") / found["agent"])
    path = folder / FILE
    if path.exists() and not path.read_text().startswith(MARK):
        raise BadArguments(f"{path} is there already, and was not written by this command; name another --out")
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(definition(found, [*door.words, "coral-agent", "--agent", found["agent"]], said.transport))
    shown = {"agent": found["agent"], "name": translate.name(found["agent"]), "file": str(path)}
    if said.json:
        document(shown)
    else:
        line(f"{path} defines '{shown['name']}'; name its folder in the server's config: [registry] localAgents")
    return 0


def definition(agent: dict[str, Any], arguments: Sequence[str], transport: str) -> str:
    """The text of a `coral-agent.toml`, within the lengths that Coral allows."""
    about = " ".join(str(agent["description"] or "").split()) or f"{agent['name']}, an agent behind Doolittle."
    text = tomlkit.document()
    text.add(tomlkit.comment(MARK.removeprefix("# ")))
    text["edition"] = 4
    text["agent"] = {
        "name": translate.name(agent["agent"]), "version": _version(), "description": about[:1024],
        "summary": about[:256], "readme": _readme(agent, about)[:4096],
        "license": {"type": "spdx", "expression": "MIT"},
    }  # fmt: skip
    text["runtimes"] = {"executable": {"path": _program(), "arguments": list(arguments), "transport": transport}}
    option = {"type": "string", "required": False}
    text["options"] = {
        "DOOLITTLE_URL": {**option, "display": {"description": "A running gateway, in place of the one here."}},
        "DOOLITTLE_KEY": {**option, "secret": True, "display": {"description": "A key of the gateway."}},
    }
    return tomlkit.dumps(text)


def _readme(agent: dict[str, Any], about: str) -> str:
    tools = "\n".join(f"- `{name}`" for name in agent["tools"][:40])
    return f"# {agent['name']}\n\n{about}\n\nAnswers whoever mentions it, in the thread.\n\n{tools}\n"


def _version() -> str:
    """Three numbers, as semantic versions have."""
    numbers = [part for part in version("doolittle").split(".") if part.isdigit()]
    return ".".join((*numbers, "0", "0", "0")[:3])


def _program() -> str:
    """Where a Coral server finds the command, whatever its PATH is."""
    beside = Path(sys.executable).parent / "doolittle"
    return str(beside) if beside.exists() else "doolittle"


async def _ask(door: Door, path: str) -> dict[str, Any]:
    url, key = await door.address()
    headers = {"authorization": f"Bearer {key}"} if key else {}
    async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=120, trust_env=False) as client:
        try:
            response = await client.get(f"/coral/{path}")
        except httpx2.TransportError as fault:
            raise ConnectFailed(f"the gateway at {url} does not answer: {fault}") from fault
    found: dict[str, Any] = orjson.loads(response.content)
    if response.status_code >= 400:
        kind = {400: BadArguments, 404: Unknown}.get(response.status_code, Refused)
        raise kind(str(found.get("detail")))
    return found
