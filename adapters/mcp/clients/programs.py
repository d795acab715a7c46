"""The client programs: where each keeps its servers, and in which words it wants ours."""

import base64
import difflib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote, urlsplit

from adapters.errors import Unknown
from adapters.mcp.clients.platform import Platform

Entry: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Target:
    """What a client is to be led to: a URL, or a command where it knows nothing else. `key` may be blank."""

    url: str
    command: tuple[str, ...]
    key: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Program:
    """`table` is where servers stand in its file, `user` its file for this user, `project` that of one project."""

    name: str
    title: str
    user: Callable[[Platform], Path]
    table: tuple[str, ...] = ("mcpServers",)
    project: str = ""
    url_key: str = "url"
    typed: bool = False
    stdio_only: bool = False
    after: str = ""
    """What the user does then."""

    def file(self, platform: Platform, project: bool) -> Path:
        return platform.folder / self.project if project else self.user(platform)

    def entry(self, target: Target, stdio: bool) -> Entry:
        """Our server, in its words."""
        if stdio or self.stdio_only:
            said: Entry = {"type": "stdio"} if self.typed else {}
            said |= {"command": target.command[0], "args": list(target.command[1:])}
            return said | ({"env": {"DOOLITTLE_KEY": target.key}} if target.key else {})
        said = {"type": "http"} if self.typed else {}
        said |= {self.url_key: target.url}
        return said | ({"headers": {"Authorization": f"Bearer {target.key}"}} if target.key else {})

    def link(self, name: str, entry: Entry) -> str:
        """A link that adds the server when it is opened; blank where the client knows none."""
        if self.name == "cursor":
            packed = base64.b64encode(json.dumps(entry).encode()).decode()
            return f"cursor://anysphere.cursor-deeplink/mcp/install?name={quote(name)}&config={quote(packed, safe='')}"
        if self.name == "vscode":
            return "vscode:mcp/install?" + quote(json.dumps({"name": name, **entry}), safe="")
        return ""


def _desktop(platform: Platform) -> Path:
    """The packaged program of Windows reads a file in its own folder, and not the one that is documented."""
    if platform.system == "windows":
        for package in sorted(platform.packages.glob("Claude_*")):
            return package / "LocalCache" / "Roaming" / "Claude" / "claude_desktop_config.json"
    return platform.settings / "Claude" / "claude_desktop_config.json"


def _code(platform: Platform) -> Path:
    folder = platform.env.get("CLAUDE_CONFIG_DIR", "")
    return Path(folder) / ".claude.json" if folder else platform.home / ".claude.json"


def _zed(platform: Platform) -> Path:
    """On macOS too, Zed follows Linux's habit."""
    if platform.system == "windows":
        return platform.settings / "Zed" / "settings.json"
    base = platform.dotted if platform.system == "linux" else platform.home / ".config"
    return base / "zed" / "settings.json"


PROGRAMS = {
    program.name: program
    for program in (
        Program(
            "claude-desktop", "Claude Desktop", _desktop, stdio_only=True,
            after="Quit Claude Desktop and open it again.",
        ),
        Program(
            "claude-code", "Claude Code", _code, project=".mcp.json", typed=True,
            after="Start a new session of Claude Code; /mcp shows the server.",
        ),
        Program(
            "cursor", "Cursor", lambda p: p.home / ".cursor" / "mcp.json", project=".cursor/mcp.json",
            after="Cursor shows it under Settings > MCP.",
        ),
        Program(
            "vscode", "VS Code", lambda p: p.settings / "Code" / "User" / "mcp.json", ("servers",), ".vscode/mcp.json",
            typed=True, after="In VS Code, run 'MCP: List Servers' and start it.",
        ),
        Program(
            "zed", "Zed", _zed, ("context_servers",), ".zed/settings.json", after="Zed takes it over when it is saved.",
        ),
        Program(
            "windsurf", "Windsurf", lambda p: p.home / ".codeium" / "windsurf" / "mcp_config.json", url_key="serverUrl",
            after="In Windsurf, refresh the list of MCP servers.",
        ),
    )
}  # fmt: skip
JSON = Program("json", "any other client", lambda p: p.folder / "mcp.json", typed=True)
"""What most clients understand; it is printed only."""


def find(name: str) -> Program:
    """Raises `Unknown` with the list."""
    found = PROGRAMS.get(name) or (JSON if name == JSON.name else None)
    if found is None:
        names = [*PROGRAMS, JSON.name]
        near = difflib.get_close_matches(name, names, 1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise Unknown(f"no client is called '{name[:40]}'; {hint}there are: {', '.join(names)}")
    return found


def key_of(entry: Mapping[str, Any]) -> str:
    """The key that an entry of ours carries; blank for none."""
    env, headers = entry.get("env"), entry.get("headers")
    if isinstance(env, dict) and isinstance(said := env.get("DOOLITTLE_KEY"), str):
        return said
    said = headers.get("Authorization") if isinstance(headers, dict) else ""
    return said.removeprefix("Bearer ") if isinstance(said, str) else ""


def leads(entry: Mapping[str, Any]) -> str:
    """Where an entry leads: its URL, or its command."""
    return str(entry.get("url") or entry.get("serverUrl") or entry.get("command") or "")


def ours(entry: Any, url: str) -> bool:
    """Whether the entry leads to a gateway of ours: by its command, or by the URL of this one."""
    if not isinstance(entry, dict):
        return False
    args, command = entry.get("args"), entry.get("command")
    if isinstance(command, str) and isinstance(args, list):
        return "mcp-stdio" in args and Path(command.replace("\\", "/")).stem == "doolittle"
    return bool(url) and _origin(leads(entry)) == _origin(url)


def _origin(url: str) -> tuple[str, str, int | None]:
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
        return parts.scheme, "localhost" if host in ("127.0.0.1", "::1") else host, parts.port
    except ValueError:
        return "", url, None


def merged(old: Entry, new: Entry) -> Entry:
    """The new entry, with what the user wrote into the old one beside our own words."""
    ways = {"type", "url", "serverUrl", "command", "args", "env", "headers"}
    made = {name: value for name, value in old.items() if name not in ways} | new
    for table, own in (("env", "DOOLITTLE_KEY"), ("headers", "Authorization")):
        said = old.get(table)
        if isinstance(said, dict) and ("command" in new) == (table == "env"):
            kept = {name: value for name, value in said.items() if name != own} | new.get(table, {})
            made |= {table: kept} if kept else {}
    return made
