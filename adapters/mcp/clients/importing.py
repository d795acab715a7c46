"""`doolittle import`: the MCP servers that a client program knows, as upstreams of this gateway."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from adapters.errors import BadArguments, Conflict, GatewayError, Unknown
from adapters.mcp import words
from adapters.mcp.clients import foreign, programs
from adapters.mcp.clients.foreign import Found
from adapters.mcp.clients.platform import Platform
from adapters.mcp.clients.programs import PROGRAMS
from adapters.mcp.clients.settings import SettingsFile
from adapters.spi import Door, Json, Upstream

TABLES = (("mcpServers",), ("servers",), ("context_servers",), ("mcp", "servers"))


@dataclass(slots=True)
class Row:
    """One server: its name there and here, and what became of it ("added", "would add", "skipped", "failed")."""

    there: str
    name: str
    state: str
    said: str = ""
    secrets: tuple[str, ...] = ()
    ok: bool = True


async def command(door: Door, args: Sequence[str]) -> int:
    """Raises `GatewayError`."""
    return await take(door, args, Platform.here())


async def take(door: Door, args: Sequence[str], platform: Platform) -> int:
    """0 if all that could be added works. Raises `GatewayError`."""
    parser = words.Parser("import", "Add the MCP servers that a client knows as upstreams of this gateway.")
    parser.add_argument("client", metavar="CLIENT|PATH", help="|".join(PROGRAMS))
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="This server; again for more.")
    parser.add_argument("--dry-run", action="store_true", help="Say what would be added, and change nothing.")
    parser.add_argument("--json", action="store_true", help="Answer with JSON.")
    said = parser.read(args)
    if said is None:
        return 0
    servers = dict(_servers(said.client, platform))
    if strange := [name for name in said.only if name not in servers]:
        raise Unknown(f"'{said.client}' knows no server '{strange[0][:80]}'; there are: {', '.join(servers) or 'none'}")
    chosen = {name: entry for name, entry in servers.items() if name in (said.only or servers)}
    rows = await Import(door, platform, dry=said.dry_run).all(chosen)
    _tell(rows, said)
    return 1 if not all(row.ok for row in rows) else 0


def _servers(client: str, platform: Platform) -> Iterator[tuple[str, Any]]:
    """All servers of the client's files, by name. Raises `Unknown` where there is no such client or file."""
    if client in PROGRAMS:
        program = PROGRAMS[client]
        files = [
            (program.file(platform, project), project) for project in (False, True) if not project or program.project
        ]
        if not any(path.exists() for path, _ in files):
            raise Unknown(f"{program.title} has no settings here: {files[0][0]} does not exist")
        for path, project in files:
            if path.exists():
                yield from _in(SettingsFile(path), program.table, platform, project=project)
        return
    path = platform.folder / Path(client).expanduser()
    if not path.is_file():
        if Path(client).name == client and not path.suffix:
            programs.find(client)  # says which there are
        raise Unknown(f"there is no file {path}")
    file = SettingsFile(path)
    for table in TABLES:
        if isinstance(file.get(*table), dict):
            yield from _in(file, table, platform, project=False)
            return
    raise BadArguments(f"{path} has none of: {', '.join('.'.join(table) for table in TABLES)}")


def _in(file: SettingsFile, table: tuple[str, ...], platform: Platform, *, project: bool) -> Iterator[tuple[str, Any]]:
    found = file.get(*table)
    yield from (found if isinstance(found, dict) else {}).items()
    local = file.get("projects", str(platform.folder), "mcpServers")  # Claude Code keeps these beside
    if not project and isinstance(local, dict):
        yield from local.items()


class Import:
    """From entries to upstreams."""

    def __init__(self, door: Door, platform: Platform, *, dry: bool) -> None:
        self._door = door
        self._platform = platform
        self._dry = dry
        self._taken: set[str] = set()

    async def all(self, servers: dict[str, Any]) -> list[Row]:
        known: Any = await self._door.manage("GET", "/v1/upstreams")
        self._taken = {str(upstream["name"]) for upstream in known}
        return [await self._one(there, entry) for there, entry in servers.items()]

    async def _one(self, there: str, entry: Any) -> Row:
        name = foreign.legal(there)
        if programs.ours(entry, self._door.url):
            return Row(there, name, "skipped", "it is this gateway")
        try:
            found = foreign.read(entry, self._platform)
        except foreign.Untranslatable as fault:
            return Row(there, name, "skipped", str(fault))
        if name in self._taken:
            return Row(there, name, "skipped", f"there is an upstream '{name}' already")
        self._taken.add(name)
        row = Row(there, name, "would add", found.shown, found.secrets)
        return row if self._dry else await self._add(row, found)

    async def _add(self, row: Row, found: Found) -> Row:
        if found.secrets:
            _own(self._door.config)
        options: dict[str, Json] = {name: value for name, value in found.options.items() if value}
        upstream = Upstream(row.name, "mcp", found.url, found.key, found.command, options)
        try:
            report = await self._door.configure(upstream)
        except Conflict as fault:
            row.state, row.said = "skipped", fault.public
        except GatewayError as fault:
            row.state, row.said, row.ok = "failed", fault.public, False
        else:
            row.state, row.said, row.ok = "added", report.text, report.ok
        return row


def _own(path: Path) -> None:
    """Makes the operator's file, and makes it its owner's alone: a secret is about to stand in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    path.chmod(0o600)


def _tell(rows: list[Row], said: words.Said) -> None:
    if said.json:
        words.document([asdict(row) for row in rows])
        return
    if not rows:
        words.line(f"'{said.client}' knows no servers.")
    for row in rows:
        name = row.name if row.name == row.there else f"{row.there} as {row.name}"
        words.line(f"{row.state if row.ok else 'NO':<9}  {name}: {row.said}")
    if secrets := [f"{r.name}.{secret}" for r in rows for secret in r.secrets if r.state in ("added", "would add")]:
        stand = "would stand" if said.dry_run else "stand"
        words.line(
            f"\nThese may be secret, and {stand} as they are in the operator's file, for its owner's eyes alone: "
            f'{", ".join(secrets)}.\nBetter: put each into the environment, and write "env:NAME" in its place.'
        )
