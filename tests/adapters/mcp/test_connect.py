"""Into clients' settings, and out again."""

import base64
import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from adapters.errors import BadArguments, Conflict, Unknown
from adapters.mcp.clients import jsonc
from adapters.mcp.clients.connect import connect, disconnect
from adapters.mcp.clients.platform import Platform
from adapters.mcp.clients.programs import PROGRAMS, Target
from gateway.cli.house import HouseDoor
from tests.adapters.mcp.conftest import Told

URL = "http://127.0.0.1:8700/mcp"
WITH_KEY = Target("http://x/mcp", ("/bin/doolittle", "mcp-stdio"), "dk_1")


def read(platform: Platform, client: str, project: bool = False) -> Any:
    return jsonc.load(PROGRAMS[client].file(platform, project).read_text())


# ---- where files are ---------------------------------------------------------------------------------------------

MACOS = Platform("macos", Path("/Users/ann"), {}, Path("/Users/ann/p"))
LINUX = Platform("linux", Path("/home/ann"), {}, Path("/home/ann/p"))
XDG = Platform("linux", Path("/home/ann"), {"XDG_CONFIG_HOME": "/cfg"}, Path("/p"))
WINDOWS = Platform("windows", Path("/U/ann"), {"APPDATA": "/R", "LOCALAPPDATA": "/L"}, Path("/p"))
SUPPORT = "/Users/ann/Library/Application Support"


@pytest.mark.parametrize(
    ("platform", "client", "path"),
    [
        (MACOS, "claude-desktop", f"{SUPPORT}/Claude/claude_desktop_config.json"),
        (LINUX, "claude-desktop", "/home/ann/.config/Claude/claude_desktop_config.json"),
        (XDG, "claude-desktop", "/cfg/Claude/claude_desktop_config.json"),
        (WINDOWS, "claude-desktop", "/R/Claude/claude_desktop_config.json"),
        (MACOS, "claude-code", "/Users/ann/.claude.json"),
        (Platform("linux", Path("/h"), {"CLAUDE_CONFIG_DIR": "/c"}, Path("/p")), "claude-code", "/c/.claude.json"),
        (WINDOWS, "cursor", "/U/ann/.cursor/mcp.json"),
        (MACOS, "vscode", f"{SUPPORT}/Code/User/mcp.json"),
        (LINUX, "vscode", "/home/ann/.config/Code/User/mcp.json"),
        (WINDOWS, "vscode", "/R/Code/User/mcp.json"),
        (MACOS, "zed", "/Users/ann/.config/zed/settings.json"),
        (XDG, "zed", "/cfg/zed/settings.json"),
        (WINDOWS, "zed", "/R/Zed/settings.json"),
        (LINUX, "windsurf", "/home/ann/.codeium/windsurf/mcp_config.json"),
    ],
)
def test_where_each_client_keeps_its_settings(platform: Platform, client: str, path: str) -> None:
    assert PROGRAMS[client].file(platform, False) == Path(path)


def test_the_packaged_desktop_of_windows_has_a_folder_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "Packages" / "Claude_abc").mkdir(parents=True)
    platform = Platform("windows", tmp_path, {"LOCALAPPDATA": str(tmp_path)}, tmp_path)
    path = PROGRAMS["claude-desktop"].file(platform, False)
    assert path == tmp_path / "Packages/Claude_abc/LocalCache/Roaming/Claude/claude_desktop_config.json"


def test_each_client_in_its_own_words() -> None:
    http = {"headers": {"Authorization": "Bearer dk_1"}}
    start = {"command": "/bin/doolittle", "args": ["mcp-stdio"], "env": {"DOOLITTLE_KEY": "dk_1"}}
    expected = {
        "claude-desktop": (start, start),
        "claude-code": ({"type": "http", "url": "http://x/mcp", **http}, {"type": "stdio", **start}),
        "cursor": ({"url": "http://x/mcp", **http}, start),
        "vscode": ({"type": "http", "url": "http://x/mcp", **http}, {"type": "stdio", **start}),
        "zed": ({"url": "http://x/mcp", **http}, start),
        "windsurf": ({"serverUrl": "http://x/mcp", **http}, start),
    }
    for name, (by_url, by_command) in expected.items():
        assert PROGRAMS[name].entry(WITH_KEY, stdio=False) == by_url
        assert PROGRAMS[name].entry(WITH_KEY, stdio=True) == by_command


def test_links_open_to_what_they_say() -> None:
    entry = {"url": "http://x/mcp?a=b"}
    query = parse_qs(urlsplit(PROGRAMS["cursor"].link("my own", entry)).query)
    assert query["name"] == ["my own"]
    assert json.loads(base64.b64decode(query["config"][0])) == entry
    assert json.loads(unquote(PROGRAMS["vscode"].link("x", entry).partition("?")[2])) == {"name": "x", **entry}


def test_the_command_is_named_with_its_whole_path(tmp_path: Path, platform: Platform) -> None:
    assert platform.command == str(tmp_path / "bin" / "doolittle")
    by_path = Platform("linux", tmp_path, platform.env, tmp_path, "doolittle")
    assert Path(by_path.command).is_absolute()


# ---- in and out --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("client", PROGRAMS)
async def test_in_twice_and_out_twice(run: Told, platform: Platform, client: str) -> None:
    path = PROGRAMS[client].file(platform, False)
    path.parent.mkdir(parents=True, exist_ok=True)
    before = '{\n  // mine\n  "theme": "dark", // so\n  "TABLE": {"other": {"command": "x"}}\n}\n'
    before = before.replace("TABLE", PROGRAMS[client].table[0])
    path.write_text(before)
    path.chmod(0o640)
    assert "is connected" in await run(connect, client)
    servers = read(platform, client)[PROGRAMS[client].table[0]]
    assert set(servers) == {"other", "doolittle"}
    assert path.stat().st_mode & 0o777 == 0o640
    assert "// mine" in path.read_text()
    written = path.read_text()
    assert "already; nothing was changed" in await run(connect, client)
    assert path.read_text() == written
    listed = json.loads(await run(connect, "--json"))
    assert [row["client"] for row in listed if row["connected"]] == [client]
    assert "is disconnected" in await run(disconnect, client)
    assert jsonc.load(path.read_text()) == jsonc.load(before)
    assert "// so" in path.read_text()
    assert "not connected; nothing was changed" in await run(disconnect, client)
    assert path.with_name(path.name + ".before-doolittle").read_text() == before


async def test_desktop_starts_the_command(run: Told, platform: Platform, tmp_path: Path) -> None:
    await run(connect, "claude-desktop", "--agent", "eliza", "--name", "mine")
    program = str(tmp_path / "bin" / "doolittle")
    assert read(platform, "claude-desktop") == {
        "mcpServers": {
            "mine": {
                "command": program,
                "args": ["--config", str(tmp_path / "doolittle.toml"), "mcp-stdio", "--agent", "eliza"],
            }
        }
    }
    await run(connect, "claude-desktop", "--url", "http://far:1")
    assert read(platform, "claude-desktop")["mcpServers"]["doolittle"]["args"] == ["--url", "http://far:1", "mcp-stdio"]
    assert "nothing was changed" in await run(disconnect, "claude-desktop", "--name", "gone")
    await run(disconnect, "claude-desktop", "--name", "mine")
    assert list(read(platform, "claude-desktop")["mcpServers"]) == ["doolittle"]


async def test_views_and_other_gateways(run: Told, platform: Platform) -> None:
    async def url(*args: str) -> str:
        await run(connect, "cursor", *args)
        return str(read(platform, "cursor")["mcpServers"]["doolittle"]["url"])

    assert await url() == URL
    assert await url("--all") == URL + "/all"
    assert await url("--view", "für mich") == URL + "/views/f%C3%BCr%20mich"
    assert await url("--url", "https://far.example") == "https://far.example/mcp"
    assert await url("--url", "https://far.example/mcp/all") == "https://far.example/mcp/all"
    with pytest.raises(BadArguments, match="not allowed with"):
        await run(connect, "cursor", "--all", "--view", "x")
    with pytest.raises(BadArguments, match="--url is like"):
        await run(connect, "cursor", "--url", "far")


async def test_a_project_has_a_file_of_its_own(run: Told, platform: Platform) -> None:
    await run(connect, "claude-code", "--project")
    assert read(platform, "claude-code", project=True) == {"mcpServers": {"doolittle": {"type": "http", "url": URL}}}
    assert not PROGRAMS["claude-code"].file(platform, False).exists()
    assert [row["project"] for row in json.loads(await run(connect, "--json")) if row["connected"]] == [True]
    with pytest.raises(BadArguments, match="no file for one project"):
        await run(connect, "claude-desktop", "--project")


async def test_what_the_user_wrote_beside_stays(run: Told, platform: Platform) -> None:
    path = PROGRAMS["windsurf"].file(platform, False)
    path.parent.mkdir(parents=True)
    own = {"serverUrl": "http://localhost:8700/mcp", "disabledTools": ["x"], "headers": {"X-Mine": "1"}}
    path.write_text(json.dumps({"mcpServers": {"doolittle": own}}))
    await run(connect, "windsurf", "--all")
    assert read(platform, "windsurf")["mcpServers"]["doolittle"] == {**own, "serverUrl": URL + "/all"}


async def test_a_link_is_followed_and_stays(run: Told, platform: Platform, tmp_path: Path) -> None:
    real = tmp_path / "dotfiles.json"
    real.write_text("{}")
    path = PROGRAMS["cursor"].file(platform, False)
    path.parent.mkdir(parents=True)
    path.symlink_to(real)
    await run(connect, "cursor")
    assert path.is_symlink()
    assert "doolittle" in real.read_text()
    assert sorted(p.name for p in path.parent.iterdir()) == ["mcp.json"]


# ---- what is not done --------------------------------------------------------------------------------------------


async def test_what_is_not_ours_is_left_alone(run: Told, platform: Platform) -> None:
    path = PROGRAMS["cursor"].file(platform, False)
    path.parent.mkdir(parents=True)
    for text in ('{"mcpServers": {"doolittle": {"command": "cat"}}}', '{"mcpServers": {"doolittle": 7}}'):
        path.write_text(text)
        for command in (connect, disconnect):
            with pytest.raises(Conflict, match="--name"):
                await run(command, "cursor")
        assert path.read_text() == text


@pytest.mark.parametrize("text", ["{", '{"mcpServers": []}', "[]", "\x00", '{"mcpServers": {"a": }}'])
async def test_a_file_that_cannot_be_changed_stays(run: Told, platform: Platform, text: str) -> None:
    path = PROGRAMS["cursor"].file(platform, False)
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(BadArguments, match=r"cannot be read|by hand"):
        await run(connect, "cursor")
    assert path.read_text() == text
    assert [p.name for p in path.parent.iterdir() if p.name.endswith(".new")] == []
    assert "cursor" in await run(connect)


async def test_a_file_that_another_program_changed_meanwhile(tmp_path: Path) -> None:
    from adapters.mcp.clients.settings import SettingsFile

    path = tmp_path / "x.json"
    path.write_text("{}")
    file = SettingsFile(path)
    path.write_text('{"a": 1}')
    with pytest.raises(Conflict, match="run the command again"):
        file.put(("b",), 1, secret=False)
    assert path.read_text() == '{"a": 1}'
    assert sorted(os.listdir(tmp_path)) == ["x.json", "x.json.before-doolittle"]


async def test_wrong_words(run: Told) -> None:
    with pytest.raises(Unknown, match="did you mean 'cursor'"):
        await run(connect, "cursr")
    with pytest.raises(Unknown, match="claude-desktop, claude-code, cursor, vscode, zed, windsurf, json"):
        await run(connect, "emacs")
    with pytest.raises(BadArguments, match="usage: doolittle connect"):
        await run(connect, "cursor", "--colour")
    with pytest.raises(BadArguments, match="printed only"):
        await run(disconnect, "json")
    with pytest.raises(Unknown, match="no client is called ''"):
        await run(disconnect)
    assert "--project" in await run(connect, "--help")
    assert "disconnect" in await run(disconnect, "--help")


async def test_printing_changes_nothing(run: Told, platform: Platform, door: HouseDoor) -> None:
    shown = json.loads(await run(connect, "vscode", "--print"))
    assert shown == {"servers": {"doolittle": {"type": "http", "url": URL}}}
    assert "vscode:mcp/install?" in run.err
    assert json.loads(await run(connect, "json", "--name", "x")) == {"mcpServers": {"x": {"type": "http", "url": URL}}}
    assert "args" in json.loads(await run(connect, "claude-desktop", "--print"))["mcpServers"]["doolittle"]
    await door.manage("POST", "/v1/keys", {"name": "root", "roles": ["admin"]})
    assert "YOUR-KEY" in await run(connect, "cursor", "--print")
    assert "keys create cursor" in run.err
    assert "dk_mine" in await run(connect, "json", "--key", "dk_mine")
    assert len(await keys(door)) == 1
    assert [p.name for p in platform.home.iterdir()] == ["project"]


# ---- keys --------------------------------------------------------------------------------------------------------


async def keys(door: HouseDoor) -> list[dict[str, Any]]:
    said: Any = await door.manage("GET", "/v1/keys")
    return [key for key in said if not key["revoked"]]


async def test_a_gateway_without_keys_stays_without(run: Told, platform: Platform, door: HouseDoor) -> None:
    await run(connect, "cursor")
    await run(connect, "claude-desktop")
    assert await door.manage("GET", "/v1/keys") == []
    assert "headers" not in read(platform, "cursor")["mcpServers"]["doolittle"]


@pytest.mark.parametrize("client", ["cursor", "claude-desktop"])
async def test_a_key_is_made_kept_and_revoked(run: Told, platform: Platform, door: HouseDoor, client: str) -> None:
    path = PROGRAMS[client].file(platform, False)
    await run(connect, client)
    await door.manage("POST", "/v1/keys", {"name": "root", "roles": ["admin"]})
    await door.manage("POST", "/v1/keys", {"name": client, "roles": ["call"]})
    said = await run(connect, client)
    made = [key for key in await keys(door) if key["id"] in said]
    assert [(key["name"], key["roles"]) for key in made] == [(client, ["call"])]
    assert path.stat().st_mode & 0o777 == 0o600
    assert "dk_" in path.read_text()
    assert "dk_" not in said
    written = path.read_text()
    assert "nothing was changed" in await run(connect, client)
    assert path.read_text() == written
    assert len(await keys(door)) == 3
    assert made[0]["id"] in await run(disconnect, client)
    assert [key["name"] for key in await keys(door)] == ["root", client], "another key of that name is not ours"
    assert "dk_" not in path.read_text()


async def test_a_revoked_key_is_replaced(run: Told, platform: Platform, door: HouseDoor) -> None:
    await door.manage("POST", "/v1/keys", {"name": "root", "roles": ["admin"]})
    first = json.loads(await run(connect, "cursor", "--json"))
    await door.manage("DELETE", f"/v1/keys/{first['key']}")
    second = json.loads(await run(connect, "cursor", "--json"))
    assert second["changed"]
    assert second["key"] not in (None, first["key"])
    await door.manage("DELETE", f"/v1/keys/{second['key']}")
    assert json.loads(await run(disconnect, "cursor", "--json"))["changed"]


async def test_a_key_of_the_users_own_is_kept_and_not_revoked(run: Told, platform: Platform, door: HouseDoor) -> None:
    said: Any = await door.manage("POST", "/v1/keys", {"name": "mine", "roles": ["admin"]})
    await run(connect, "zed", "--key", said["secret"])
    assert said["secret"] in PROGRAMS["zed"].file(platform, False).read_text()
    assert "nothing was changed" in await run(connect, "zed")
    await run(disconnect, "zed")
    assert [key["name"] for key in await keys(door)] == ["mine"]


async def test_a_key_of_the_users_own_ends_the_one_that_was_made(
    run: Told, platform: Platform, door: HouseDoor
) -> None:
    await door.manage("POST", "/v1/keys", {"name": "root", "roles": ["admin"]})
    await run(connect, "zed")
    assert len(await keys(door)) == 2
    await run(connect, "zed", "--key", "dk_mine")
    assert [key["name"] for key in await keys(door)] == ["root"]


async def test_no_key_is_left_behind_when_nobody_knows_where_to(run: Told, door: HouseDoor) -> None:
    await door.manage("POST", "/v1/keys", {"name": "root", "roles": ["admin"]})
    with pytest.raises(BadArguments, match="--url is like"):
        await run(connect, "cursor", "--url", "ftp://x")
    door.url = ""
    with pytest.raises(BadArguments, match="set a port"):
        await run(connect, "cursor")
    assert [key["name"] for key in await keys(door)] == ["root"]


async def test_another_entry_in_the_place_of_ours_is_not_ours(run: Told, platform: Platform) -> None:
    await run(connect, "cursor", "--url", "https://far.example")
    path = PROGRAMS["cursor"].file(platform, False)
    path.write_text('{"mcpServers": {"doolittle": {"url": "https://theirs.example"}}}')
    for command in (connect, disconnect):
        with pytest.raises(Conflict):
            await run(command, "cursor")
    assert "theirs" in path.read_text()


async def test_a_ledger_that_is_broken_is_begun_anew(run: Told, platform: Platform) -> None:
    ledger = platform.settings / "doolittle" / "connections.json"
    ledger.parent.mkdir(parents=True)
    for text in ("{", "[]", '{"a": 1}'):
        ledger.write_text(text)
        await run(connect, "cursor")
        assert "is disconnected" in await run(disconnect, "cursor")


async def test_no_key_is_left_behind_when_the_file_cannot_be_written(run: Told, door: HouseDoor) -> None:
    await door.manage("POST", "/v1/keys", {"name": "root", "roles": ["admin"]})
    path = PROGRAMS["cursor"].file(run.platform, False)
    path.parent.mkdir(parents=True)
    path.write_text('{"mcpServers": []}')
    with pytest.raises(BadArguments, match="by hand"):
        await run(connect, "cursor")
    assert [key["name"] for key in await keys(door)] == ["root"]


async def test_another_gateway_gets_no_key_of_this_one(run: Told, platform: Platform, door: HouseDoor) -> None:
    await door.manage("POST", "/v1/keys", {"name": "root", "roles": ["admin"]})
    await run(connect, "cursor", "--url", "https://far.example")
    assert len(await keys(door)) == 1
    await run(disconnect, "cursor")
    assert read(platform, "cursor") == {"mcpServers": {}}
