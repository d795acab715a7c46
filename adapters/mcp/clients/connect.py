"""`doolittle connect` and `doolittle disconnect`: this gateway in the settings of client programs, and out again."""

import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from adapters.errors import BadArguments, Conflict, Denied, GatewayError, Unknown
from adapters.mcp import bundle, words
from adapters.mcp.clients import programs
from adapters.mcp.clients.ledger import Ledger, Written
from adapters.mcp.clients.platform import Platform
from adapters.mcp.clients.programs import PROGRAMS, Entry, Program, Target
from adapters.mcp.clients.settings import SettingsFile
from adapters.spi import Door

NAMES = "|".join([*PROGRAMS, programs.JSON.name])
PLACEHOLDER = "YOUR-KEY"


async def command(door: Door, args: Sequence[str]) -> int:
    """`doolittle connect`. Raises `GatewayError`."""
    return await connect(door, args, Platform.here())


async def away(door: Door, args: Sequence[str]) -> int:
    """`doolittle disconnect`. Raises `GatewayError`."""
    return await disconnect(door, args, Platform.here())


def _parser(name: str, says: str) -> words.Parser:
    parser = words.Parser(name, says)
    parser.add_argument("client", nargs="?", default="", metavar="CLIENT", help=NAMES)
    parser.add_argument("--name", default="doolittle", help="What the client calls the server.")
    parser.add_argument("--project", action="store_true", help="The file of the project in this folder.")
    parser.add_argument("--json", action="store_true", help="Answer with JSON.")
    return parser


async def connect(door: Door, args: Sequence[str], platform: Platform) -> int:
    """Raises `GatewayError`."""
    parser = _parser("connect", "Write this gateway into the settings of an MCP client; without a client, list them.")
    words.which_tools(parser)
    parser.add_argument("--url", default="", help="Another gateway, or another of its paths.")
    parser.add_argument("--key", default="", help="A key that there is, in place of a new one.")
    parser.add_argument("--stdio", action="store_true", help="Let the client start a command; it needs no server.")
    parser.add_argument("--print", action="store_true", help="Show what would be written, and change nothing.")
    parser.add_argument(
        "--bundle", nargs="?", const=bundle.NAME, metavar="PATH", help="Write a .mcpb file for Desktop."
    )
    said = parser.read(args)
    if said is None:
        return 0
    if said.bundle is not None:
        return _bundle(door, said)
    if not said.client:
        return _list(door, said, platform)
    program = _program(said)
    if said.print or program is programs.JSON:
        return await _show(door, said, platform)
    return await Connection(door, said, platform).make()


def _program(said: words.Said) -> Program:
    program = programs.find(said.client)
    if said.project and not program.project:
        raise BadArguments(f"{program.title} has no file for one project")
    return program


class Connection:
    """One entry in one file, and the key that was made for it."""

    def __init__(self, door: Door, said: words.Said, platform: Platform) -> None:
        self._door = door
        self._said = said
        self._platform = platform
        self._program = _program(said)
        self._file = SettingsFile(self._program.file(platform, said.project))
        self._where = (*self._program.table, said.name)
        self._ledger = Ledger(platform)
        self._place = self._file.path, said.name

    @property
    def _old(self) -> Entry:
        """Our entry, as it stands. Raises `Conflict` for one that is not ours."""
        found = self._file.get(*self._where)
        if found is None:
            return {}
        if not programs.ours(found, self._door.url) and not self._ledger.wrote(*self._place, found):
            raise Conflict(
                f"{self._file.path} has a server '{self._said.name}' that is not this gateway; "
                "take another name with --name"
            )
        return dict(found) if isinstance(found, dict) else {}

    async def make(self) -> int:
        """`connect`."""
        old = self._old
        key, made = await self._key(programs.key_of(old))
        backup = None
        try:
            target = _target(self._door, self._said, self._platform, key)
            entry = programs.merged(old, self._program.entry(target, self._said.stdio))
            if entry != old:
                backup = self._file.put(self._where, entry, secret=bool(key))
                await self._note(entry, made)
        except BaseException:
            if made:
                await self._door.manage("DELETE", f"/v1/keys/{made}")
            raise
        self._tell(entry, {"changed": entry != old, "backup": str(backup) if backup else None, "key": made or None})
        return 0

    async def _note(self, entry: Entry, made: str) -> None:
        """Remembers what was written. A key of ours that another has replaced ends."""
        before = self._id
        id = "" if self._said.key else made or before
        self._ledger.note(*self._place, Written(programs.leads(entry), id))
        if before and before != id:
            await self._revoke(before)

    async def _key(self, standing: str) -> tuple[str, str]:
        """The key for the entry, and its id if it was made now. A gateway without keys wants none."""
        if self._said.key or _elsewhere(self._door, self._said):
            return self._said.key, ""
        try:
            known = await self._door.manage("GET", "/v1/keys")
            if not known:
                return "", ""
            if standing and self._stands(known):
                return standing, ""
            said: Any = await self._door.manage("POST", "/v1/keys", {"name": self._program.name, "roles": ["call"]})
        except Denied as fault:
            raise Denied(f"{fault.public}; or give the client a key that you have, with --key") from fault
        return str(said["secret"]), str(said["id"])

    def _stands(self, known: Any) -> bool:
        """Whether the key in the entry is good: one of ours that lives, or one that the user gave."""
        return self._ledger.find(*self._place) is not None and self._id in {"", *_live(known)}

    @property
    def _id(self) -> str:
        """Of the key that was made for the entry; blank if none was."""
        found = self._ledger.find(*self._place)
        return found.key if found else ""

    def _tell(self, entry: Entry, facts: dict[str, Any]) -> None:
        link = "" if programs.key_of(entry) else self._program.link(self._said.name, entry)
        if self._said.json:
            about = {"client": self._program.name, "name": self._said.name, "file": str(self._file.path)}
            words.document({**about, **facts, "link": link or None})
            return
        if not facts["changed"]:
            words.line(f"{self._program.title} is connected already; nothing was changed in {self._file.path}")
            return
        words.line(f"{self._program.title} is connected: '{self._said.name}' in {self._file.path}")
        if facts["backup"]:
            words.line(f"The file as it was: {facts['backup']}")
        if facts["key"]:
            words.line(f"Its key {facts['key']} is called '{self._program.name}'; the file is now yours alone to read.")
        if self._said.project and programs.key_of(entry):
            words.line("It stands in a file of the project: keep it out of version control.")
        if "command" not in entry:
            words.line("It reaches the gateway while that serves: doolittle serve")
        words.line(self._program.after)
        if link:
            words.line(f"The same as a link: {link}")

    async def end(self) -> int:
        """`disconnect`."""
        there = bool(self._old)
        id = self._id
        if there:
            self._file.remove(self._where)
        revoked = bool(id) and await self._revoke(id)
        self._ledger.forget(*self._place)
        about = {"client": self._program.name, "name": self._said.name, "file": str(self._file.path)}
        if self._said.json:
            words.document({**about, "changed": there, "key": id if revoked else None})
        elif not there:
            words.line(f"{self._program.title} is not connected; nothing was changed in {self._file.path}")
        else:
            words.line(f"{self._program.title} is disconnected: '{self._said.name}' is gone from {self._file.path}")
        if revoked and not self._said.json:
            words.line(f"Its key {id} is revoked.")
        return 0

    async def _revoke(self, id: str) -> bool:
        try:
            await self._door.manage("DELETE", f"/v1/keys/{id}")
        except Unknown:
            return False  # somebody did it before
        except GatewayError as fault:
            words.note(f"Its key {id} is still good: {fault.public}; end it with: doolittle keys revoke {id}")
            return False
        return True


async def disconnect(door: Door, args: Sequence[str], platform: Platform) -> int:
    """Raises `GatewayError`."""
    said = _parser("disconnect", "Take this gateway out of the settings of an MCP client, and revoke its key.").read(
        args
    )
    if said is None:
        return 0
    if programs.find(said.client) is programs.JSON:
        raise BadArguments("'json' is printed only: there is nothing to take out")
    return await Connection(door, said, platform).end()


# ---- what changes nothing ----------------------------------------------------------------------------------------


async def _show(door: Door, said: words.Said, platform: Platform) -> int:
    program = _program(said)
    key = said.key
    if not key and not _elsewhere(door, said) and await door.manage("GET", "/v1/keys"):
        key = PLACEHOLDER
        words.note(f"Put a key in place of {PLACEHOLDER}; make one with: doolittle keys create {program.name}")
    entry = program.entry(_target(door, said, platform, key), said.stdio)
    shown: Any = entry
    for name in reversed((*program.table, said.name)):
        shown = {name: shown}
    if program is not programs.JSON:
        words.note(f"For {program.file(platform, said.project)}:")
    words.document(shown)
    if not key and (link := program.link(said.name, entry)):
        words.note(f"The same as a link: {link}")
    return 0


def _list(door: Door, said: words.Said, platform: Platform) -> int:
    rows = [_row(door, program, platform, project) for program, project in _files(platform)]
    if said.json:
        words.document(rows)
        return 0
    width = max(len(row["client"]) for row in rows)
    for row in rows:
        state = "connected" if row["servers"] else row["fault"] or "not connected"
        words.line(f"{row['client']:<{width}}  {state:<13}  {row['file']}")
    words.line("\nConnect one: doolittle connect CLIENT · any other: doolittle connect json")
    return 0


def _files(platform: Platform) -> list[tuple[Program, bool]]:
    """Each client's own file, and those of the project that are there."""
    all = [(program, project) for program in PROGRAMS.values() for project in (False, bool(program.project))]
    return [(p, project) for p, project in dict.fromkeys(all) if not project or p.file(platform, True).exists()]


def _row(door: Door, program: Program, platform: Platform, project: bool) -> dict[str, Any]:
    path = program.file(platform, project)
    row: dict[str, Any] = {"client": program.name, "title": program.title, "file": str(path), "project": project}
    try:
        servers = SettingsFile(path).get(*program.table)
    except BadArguments as fault:
        return {**row, "connected": False, "servers": [], "fault": fault.public}
    ledger = Ledger(platform)
    ours = [
        name
        for name, entry in (servers if isinstance(servers, dict) else {}).items()
        if programs.ours(entry, door.url) or ledger.wrote(path, name, entry)
    ]
    return {**row, "connected": bool(ours), "servers": ours, "fault": ""}


def _bundle(door: Door, said: words.Said) -> int:
    if said.client not in ("", "claude-desktop"):
        raise BadArguments("a bundle is for claude-desktop")
    base = said.url or door.url or bundle.URL
    path = bundle.write(said.bundle, base if said.url and urlsplit(base).path.strip("/") else base + words.path(said))
    if said.json:
        words.document({"client": "claude-desktop", "file": str(path)})
    else:
        words.line(
            f"{path} is written; open it with Claude Desktop (Settings > Extensions), which asks for URL and key."
        )
    return 0


# ---- where to ----------------------------------------------------------------------------------------------------


def _target(door: Door, said: words.Said, platform: Platform, key: str) -> Target:
    """Raises `BadArguments` where nobody can say where the gateway will be."""
    base = said.url.rstrip("/") or door.url
    program = programs.find(said.client)
    stdio = said.stdio or program.stdio_only
    lead = ("--url", _origin(base)) if said.url else tuple(door.words)
    command = (platform.command, *lead, "mcp-stdio", *words.chosen(said)) if stdio else ()
    if not stdio and not base:
        raise BadArguments(
            "server.port is 0, so the address changes with each start; set a port, or name it with --url"
        )
    return Target(base if urlsplit(base).path.strip("/") else base + words.path(said), command, key)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise BadArguments(f"--url is like http://127.0.0.1:8700; not '{url[:200]}'")
    return f"{parts.scheme}://{parts.netloc}"


def _elsewhere(door: Door, said: words.Said) -> bool:
    """Whether another gateway is meant than the one that this command asks for keys."""
    return bool(said.url) and _origin(said.url) != _origin(door.url or "http://nowhere")


def _live(keys: Any) -> set[str]:
    now = time.time()
    return {k["id"] for k in keys if not k["revoked"] and (k["expires"] is None or k["expires"] > now)}
