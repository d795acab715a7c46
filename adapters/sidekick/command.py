"""`doolittle sidekick install | list | remove`: the frameworks' environments."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from adapters.errors import BadArguments, Unknown
from adapters.sidekick.frameworks import Framework, find, known
from adapters.spi import Door
from adapters.venvs import Venvs
from adapters.words import Parser, document, line, note


def _parser() -> Parser:
    parser = Parser("sidekick", "Python frameworks for sidekicks: each in an environment of its own, made with uv.")
    parser.add_argument("what", nargs="?", default="list", choices=("install", "list", "remove"))
    parser.add_argument("framework", nargs="*", help=" ".join(known()))
    parser.add_argument("--venvs", default="", help="Their folder, where an upstream sets one.")
    parser.add_argument("--more", default="", help="A folder with further frameworks.")
    parser.add_argument("--json", action="store_true", help="Answer with JSON.")
    return parser


async def command(door: Door, args: Sequence[str]) -> int:
    """Raises `GatewayError`."""
    said = _parser().read(args)
    if said is None:
        return 0
    frameworks = known(said.more)
    venvs = Venvs(Path(said.venvs).absolute() if said.venvs else door.folder / "sidekick" / "venvs")
    chosen = [find(frameworks, name) for name in said.framework]
    if said.what != "list" and not chosen:
        raise BadArguments(f"which? There are: {', '.join(frameworks)}")
    for one in chosen:
        await _done(said.what, venvs, one)
    rows = [_row(venvs, one) for one in (chosen or frameworks.values())]
    if said.json:
        document(rows)
    else:
        line("\n".join(map(_line, rows)))
    return 0


async def _done(what: str, venvs: Venvs, one: Framework) -> None:
    if what == "install":
        if not venvs.of(one).ready:
            note(f"installing {one.title}, about {one.megabytes} MB …")
        await venvs.install(one)
    elif what == "remove" and (not venvs.folder.exists() or not await venvs.remove(one)):
        raise Unknown(f"'{one.name}' is not installed in {venvs.folder}")


def _row(venvs: Venvs, framework: Framework) -> dict[str, Any]:
    venv = venvs.of(framework)
    facts = venv.facts() if venv.ready else {}
    old = [p for p in venvs.folder.glob(f"{framework.name}-*") if p.is_dir() and p != venv.folder]
    state = "installed" if venv.ready else "outdated" if old else "not installed"
    pinned = [text.partition("==") for text in framework.requires if "==" in text]
    wanted = {name.partition("[")[0]: number for name, _, number in pinned}
    return {
        "framework": framework.name, "title": framework.title, "state": state,
        "versions": {name: facts.get("versions", {}).get(name, number) for name, number in wanted.items()},
        "megabytes": facts.get("megabytes", framework.megabytes), "seconds": facts.get("seconds"),
        "agents": [agent.name for agent in framework.agents], "folder": str(venv.folder) if venv.ready else None,
    }  # fmt: skip


def _line(row: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in row["versions"].items())
    about = "" if row["state"] == "installed" else "about "
    return f"{row['framework']:12} {row['state']:14} {about}{row['megabytes']} MB  {versions}"
