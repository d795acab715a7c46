"""Clients' servers become upstreams."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.errors import BadArguments, Conflict, Unknown
from adapters.mcp.clients import foreign
from adapters.mcp.clients.importing import take
from adapters.mcp.clients.platform import Platform
from adapters.mcp.clients.programs import PROGRAMS
from adapters.spi import Json, Report, Upstream
from gateway.settings import NAME
from tests.adapters.mcp.conftest import Told

MACHINE = Platform("linux", Path("/home/ann"), {"SET": "value"}, Path("/home/ann/p"))


class Recorder:
    """A door that keeps what is to be configured, and starts nothing."""

    def __init__(self, config: Path, taken: tuple[str, ...] = ()) -> None:
        self.config = config
        self.url = "http://127.0.0.1:8700"
        self.upstreams: dict[str, Upstream] = {}
        self._taken = taken

    async def manage(self, method: str, path: str, document: Json = None) -> Json:
        assert (method, path) == ("GET", "/v1/upstreams")
        return [{"name": name} for name in self._taken]

    async def configure(self, upstream: Upstream) -> Report:
        if upstream.name == "conflict":
            raise Conflict("the name is taken")
        if upstream.name == "wrong":
            raise BadArguments("this cannot be")
        self.upstreams[upstream.name] = upstream
        return Report(upstream.name != "away", f"{upstream.name} was tried")


@pytest.fixture
def door(tmp_path: Path) -> Recorder:
    return Recorder(tmp_path / "doolittle.toml", ("taken",))


def write(platform: Platform, client: str, value: Any, project: bool = False) -> None:
    path = PROGRAMS[client].file(platform, project)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("// a comment\n" + json.dumps(value))


SECRET = "s3cr3t-0815"
SERVERS: dict[str, Any] = {
    "File System": {"command": "npx", "args": ["-y", "fs", "${workspaceFolder}"], "env": {"TOKEN": SECRET}},
    "from-env": {"command": "run", "env": {"A": "${env:A_TOKEN}", "B": "${B_TOKEN}", "C": "${NONE:-fallback}"}},
    "remote": {"type": "http", "url": "https://x.example/mcp", "headers": {"Authorization": f"Bearer {SECRET}"}},
    "header": {"serverUrl": "https://y.example/mcp?k=1", "headers": {"X-Key": SECRET, "X-Ref": "${env:REF}"}},
    "doolittle": {"command": "/usr/bin/doolittle", "args": ["mcp-stdio"]},
    "gateway": {"url": "http://localhost:8700/mcp/all"},
    "taken": {"command": "x"},
    "conflict": {"command": "x"},
    "wrong": {"command": "x"},
    "away": {"command": "x"},
    "old": {"type": "sse", "url": "https://z.example/sse"},
    "off": {"command": "x", "disabled": True},
    "asks": {"command": "x", "env": {"KEY": "${input:key}"}},
    "mixed": {"url": "https://z.example/", "headers": {"X": "a ${env:UNSET}"}},
    "nothing": {},
}


async def test_all_kinds(run: Told, platform: Platform, door: Recorder) -> None:
    write(platform, "claude-desktop", {"mcpServers": SERVERS})
    run.door = door
    said = await run(take, "claude-desktop")
    assert run.code == 1, "one of them does not work"
    assert SECRET not in said
    assert "k=1" not in said
    assert set(door.upstreams) == {"file-system", "from-env", "remote", "header", "away"}
    assert {u.network for u in door.upstreams.values()} == {"mcp"}
    files = door.upstreams["file-system"]
    assert files.command == ("npx", "-y", "fs", str(platform.folder))
    assert files.options == {"env": {"TOKEN": SECRET}}
    assert door.upstreams["from-env"].options == {"env": {"A": "env:A_TOKEN", "B": "env:B_TOKEN", "C": "fallback"}}
    remote = door.upstreams["remote"]
    assert (remote.url, remote.secret, remote.options) == ("https://x.example/mcp", SECRET, {})
    assert door.upstreams["header"].options == {"headers": {"X-Key": SECRET, "X-Ref": "env:REF"}}
    for line in (
        "added      File System as file-system: file-system was tried",
        "NO         away: away was tried",
        "NO         wrong: this cannot be",
        "skipped    conflict: the name is taken",
        "skipped    taken: there is an upstream 'taken' already",
        "skipped    doolittle: it is this gateway",
        "skipped    gateway: it is this gateway",
        "skipped    off: it is switched off there",
        "skipped    nothing: it has neither a URL nor a command",
    ):
        assert line in said
    for part in ("old transport", "which asks for it each time", "which is not known here"):
        assert part in said
    assert "file-system.env.TOKEN, from-env.env.C, remote.key, header.headers.X-Key, header.url" in said
    assert door.config.stat().st_mode & 0o777 == 0o600


async def test_a_dry_run_changes_nothing(run: Told, platform: Platform, door: Recorder) -> None:
    write(platform, "vscode", {"servers": SERVERS})
    run.door = door
    said = json.loads(await run(take, "vscode", "--dry-run", "--json"))
    assert run.code == 0
    assert not door.upstreams
    assert not door.config.exists()
    assert SECRET not in json.dumps(said)
    rows = {row["there"]: row for row in said}
    assert (rows["remote"]["state"], rows["remote"]["said"]) == ("would add", "https://x.example/mcp")
    assert (rows["header"]["said"], rows["header"]["secrets"]) == ("https://y.example/mcp", ["headers.X-Key", "url"])
    assert "would stand as they are" in await run(take, "vscode", "--dry-run")


async def test_one_of_them(run: Told, platform: Platform, door: Recorder) -> None:
    write(
        platform, "zed", {"context_servers": {"a": {"command": {"path": "x", "args": ["y"], "env": {"E": 1}}}, "b": 1}}
    )
    run.door = door
    await run(take, "zed", "--only", "a")
    assert (door.upstreams["a"].command, door.upstreams["a"].options) == (("x", "y"), {"env": {"E": "1"}})
    with pytest.raises(Unknown, match="knows no server 'c'; there are: a, b"):
        await run(take, "zed", "--only", "c")


async def test_claude_code_keeps_servers_in_three_places(run: Told, platform: Platform, door: Recorder) -> None:
    local = {str(platform.folder): {"mcpServers": {"local": {"command": "l"}}}, "/x": {"mcpServers": {"far": {}}}}
    write(platform, "claude-code", {"mcpServers": {"mine": {"command": "m"}}, "projects": local})
    write(platform, "claude-code", {"mcpServers": {"project": {"command": "p"}}}, project=True)
    run.door = door
    await run(take, "claude-code")
    assert {name: u.command for name, u in door.upstreams.items()} == {
        "mine": ("m",), "local": ("l",), "project": ("p",),
    }  # fmt: skip


@pytest.mark.parametrize(
    "value",
    [
        {"mcpServers": {"a": {"command": "x"}}},
        {"mcp": {"servers": {"a": {"command": "x"}}}},
        {"servers": {"a": {"url": "http://x"}}},
    ],
)
async def test_a_file(run: Told, platform: Platform, door: Recorder, value: Any) -> None:
    (platform.folder / "some.json").write_text(json.dumps(value))
    run.door = door
    await run(take, "some.json")
    assert list(door.upstreams) == ["a"]


async def test_what_is_not_there(run: Told, platform: Platform, door: Recorder) -> None:
    run.door = door
    with pytest.raises(Unknown, match="Windsurf has no settings here"):
        await run(take, "windsurf")
    with pytest.raises(Unknown, match="did you mean 'windsurf'"):
        await run(take, "windsurv")
    with pytest.raises(Unknown, match="there is no file"):
        await run(take, "some/where.json")
    (platform.folder / "x.json").write_text("{}")
    with pytest.raises(BadArguments, match="has none of: mcpServers"):
        await run(take, "x.json")
    write(platform, "cursor", {"mcpServers": {}})
    assert "knows no servers" in await run(take, "cursor")
    assert "--dry-run" in await run(take, "--help")
    with pytest.raises(BadArguments, match="CLIENT"):
        await run(take)


@given(st.text())
def test_any_name_becomes_legal(name: str) -> None:
    legal = foreign.legal(name)
    assert NAME.match(legal)
    assert len(legal) <= 24


def test_long_names_stay_apart() -> None:
    assert len({foreign.legal("a" * 30 + end) for end in "xyz"}) == 3


ENTRY = st.dictionaries(
    st.sampled_from(["command", "args", "env", "url", "headers", "cwd", "type", "disabled", "envFile"]),
    st.none() | st.booleans() | st.text() | st.lists(st.text()) | st.dictionaries(st.text(), st.text() | st.integers()),
)


@given(ENTRY | st.text() | st.lists(st.integers()))
def test_any_entry_is_read_or_refused(entry: Any) -> None:
    try:
        found = foreign.read(entry, MACHINE)
    except foreign.Untranslatable:
        return
    assert bool(found.command) != bool(found.url)


def test_variables() -> None:
    def env(value: str) -> str:
        found = foreign.read({"command": "x", "env": {"A": value}}, MACHINE)
        return str(found.options["env"]["A"])

    assert env("${userHome}/x") == "/home/ann/x"
    assert env("${HOME}") == "/home/ann"
    assert env("${env:SET}!") == "value!"
    assert env("${SET}") == "env:SET"
    for refused in ("env:X", "command:rm", "file:/etc/passwd", "${input:a}", "${file:/x}"):
        with pytest.raises(foreign.Untranslatable):
            env(refused)
