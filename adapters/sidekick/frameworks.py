"""The frameworks that there are: what `frameworks.toml` says of each. The gateway knows nothing else of them."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from adapters.errors import BadArguments
from adapters.venvs import Environment

HERE = Path(__file__).resolve().parent
RUNNER = HERE / "runner" / "__main__.py"
KEYS = frozenset({"title", "aliases", "requires", "megabytes", "memory", "stops", "agents"})


@dataclass(frozen=True, slots=True)
class Builtin:
    """An agent that a framework offers by itself. `keeps`: its run survives the child that works at it; `character`: it
    takes a character of ElizaOS as such."""

    name: str
    description: str
    keeps: bool = False
    character: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Framework(Environment):
    """One table of `frameworks.toml`, and the files that belong to it."""

    backend: Path
    aliases: tuple[str, ...] = ()
    memory: int = 4096
    stops: bool = True
    agents: tuple[Builtin, ...] = ()


def known(more: str = "") -> dict[str, Framework]:
    """By name, in the file's order. `more`: a folder of the operator's with further ones, in the same form.

    Raises `BadArguments` that says what is wrong in it.
    """
    found = dict(_read(HERE, HERE / "runner" / "backends"))
    if more:
        found |= _read(Path(more), Path(more) / "backends")
    return found


@cache
def _read(folder: Path, backends: Path) -> Mapping[str, Framework]:
    path = folder / "frameworks.toml"
    try:
        said = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as fault:
        raise BadArguments(f"{path} cannot be read: {fault}") from fault
    return {name: _framework(name, table, folder, backends) for name, table in said.items()}


def _framework(name: str, said: Mapping[str, Any], folder: Path, backends: Path) -> Framework:
    where = folder / "frameworks.toml"
    if strange := said.keys() - KEYS:
        raise BadArguments(f"{where}: {name}: unknown key '{min(strange)}'; known are {', '.join(sorted(KEYS))}")
    backend = backends / f"{name.replace('-', '_')}.py"
    if not backend.exists():
        raise BadArguments(f"{where}: {name}: there is no {backend}")
    agents = tuple(
        Builtin(
            agent,
            str(more["description"]),
            bool(more.get("keeps")),
            bool(more.get("character")),
        )  # fmt: skip
        for agent, more in said.get("agents", {}).items()
    )
    return Framework(
        name, str(said.get("title", name)), folder / "locks" / f"{name}.txt", tuple(said.get("requires", ())),
        int(said.get("megabytes", 0)), backend=backend, aliases=tuple(said.get("aliases", ())),
        memory=int(said.get("memory", 4096)), stops=bool(said.get("stops", True)), agents=agents,
    )  # fmt: skip


def find(frameworks: Mapping[str, Framework], name: str) -> Framework:
    """By name or alias. Raises `BadArguments` with those that there are."""
    for one in frameworks.values():
        if name.lower() in (one.name, *one.aliases):
            return one
    raise BadArguments(f"no framework is called '{name[:40]}'; there are: {', '.join(frameworks)}")
