"""Environments: made whole or not at all; what goes wrong is a plain sentence."""

import asyncio
import re
import shutil
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest

from adapters import venvs
from adapters.errors import BadArguments, ConnectFailed, GatewayError, Refused, Unknown
from adapters.sidekick import command, frameworks
from adapters.sidekick.frameworks import Framework, find, known
from adapters.sidekick.testing import SCRIPTED
from adapters.venvs import Venvs
from tests.conftest import ROOT

NONE = known(str(SCRIPTED))["scripted"]
"""A framework that needs nothing: its environment is an interpreter."""
ONE = replace(NONE, name="one", requires=("no-such-distribution==1",))


class Free(NamedTuple):
    """Of a disk."""

    free: int

    def __call__(self, _folder: object) -> "Free":
        return self


class Nowhere:
    """No program is found."""

    def __call__(self, _name: str) -> None:
        return None


def left(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if not p.name.endswith(".lock")) if folder.exists() else []


async def refused(made: Venvs, framework: Framework, kind: type[GatewayError] = Refused) -> str:
    with pytest.raises(kind) as caught:
        await made.install(framework)
    assert caught.value.delivered == "no"
    return caught.value.public


async def test_one_is_made_once_and_whole(tmp_path: Path) -> None:
    made = Venvs(tmp_path)
    first = await made.install(NONE)
    stamp = (first.folder / venvs.STAMP).stat().st_mtime_ns
    assert await Venvs(tmp_path).install(NONE) == first
    assert (first.folder / venvs.STAMP).stat().st_mtime_ns == stamp
    assert left(tmp_path) == [first.folder.name]
    process = await asyncio.create_subprocess_exec(
        first.python, "-I", "-c", "import sys; sys.exit(sys.prefix != sys.base_prefix)"
    )
    assert await process.wait() == 1, "an environment of its own"


async def test_those_who_want_it_at_once_get_the_same(tmp_path: Path) -> None:
    ours, theirs = Venvs(tmp_path), Venvs(tmp_path)
    found = await asyncio.gather(*(v.install(NONE) for v in (ours, ours, theirs)))
    assert len({v.folder for v in found}) == 1
    assert len(left(tmp_path)) == 1


async def test_without_uv_the_line_that_installs_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(shutil, "which", Nowhere())
    said = await refused(Venvs(tmp_path / "v"), NONE)
    assert "pip install 'doolittle[sidekick]'" in said
    assert left(tmp_path / "v") == []


async def test_without_room_nothing_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", Free(50 << 20))
    said = await refused(Venvs(tmp_path / "v"), replace(NONE, megabytes=900))
    assert said.startswith("'scripted' needs about 900 MB on disk, and 50 MB are free")
    assert left(tmp_path / "v") == []


async def test_a_registry_that_is_away_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    away = {"UV_INDEX_URL": "http://127.0.0.1:9/simple", "UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple"}
    for name, value in {**away, "UV_CACHE_DIR": str(tmp_path / "cache"), "UV_HTTP_RETRIES": "0"}.items():
        monkeypatch.setenv(name, value)
    said = await refused(Venvs(tmp_path / "v"), ONE, ConnectFailed)
    assert "the package registry was not reached" in said
    assert left(tmp_path / "v") == []


async def test_what_uv_says_is_handed_on(tmp_path: Path) -> None:
    assert "cannot be installed" in await refused(Venvs(tmp_path / "v"), replace(ONE, requires=("not a requirement",)))
    assert left(tmp_path / "v") == []


async def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "v").write_text("a file")
    assert "File exists" in await refused(Venvs(tmp_path / "v"), NONE)


async def test_breaking_off_leaves_nothing(tmp_path: Path) -> None:
    made = Venvs(tmp_path)
    waiting = asyncio.create_task(made.install(NONE))
    while not [p for p in tmp_path.iterdir() if p.is_dir()]:
        await asyncio.sleep(0.001)
    await made.stop()
    await asyncio.gather(waiting, return_exceptions=True)
    assert left(tmp_path) == []
    assert (await made.install(NONE)).ready


async def test_who_goes_away_leaves_it_to_be_finished(tmp_path: Path) -> None:
    made = Venvs(tmp_path)
    waiting = asyncio.create_task(made.install(NONE))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert (await made.install(NONE)).ready


async def test_another_lock_is_another_environment(tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text("")
    made, locked = Venvs(tmp_path / "v"), replace(NONE, lock=lock)
    old = await made.install(locked)
    lock.write_text("# changed")
    assert not made.of(locked).ready
    assert (await made.install(locked)).folder != old.folder
    assert await made.remove(locked) == 2
    assert left(tmp_path / "v") == []


# ---- the command ------------------------------------------------------------------------------------------------


class Door:
    """As much of one as the command needs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder


async def rows(door: Any, *words: str) -> Any:
    import io
    from contextlib import redirect_stderr, redirect_stdout

    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(io.StringIO()):
        assert await command.command(door, [*words, "--more", str(SCRIPTED), "--json"]) == 0
    return orjson.loads(out.getvalue())


async def test_the_command_installs_lists_and_removes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    door: Any = Door(tmp_path)
    states = {row["framework"]: row["state"] for row in await rows(door)}
    assert states["scripted"] == "not installed"
    assert len(states) == len(known()) + 1
    (made,) = await rows(door, "install", "scripted")
    assert made["state"] == "installed"
    assert made["folder"].startswith(str(tmp_path / "sidekick" / "venvs"))
    assert made["seconds"] > 0
    assert [row["state"] for row in await rows(door, "remove", "scripted")] == ["not installed"]
    with pytest.raises(Unknown, match="is not installed"):
        await rows(door, "remove", "scripted")
    with pytest.raises(BadArguments, match="which"):
        await rows(door, "install")
    with pytest.raises(BadArguments, match="no framework is called 'pascal'"):
        await rows(door, "install", "pascal")
    with pytest.raises(BadArguments, match="invalid choice"):
        await rows(door, "paint")
    for words in ([], ["--help"]):
        assert await command.command(door, words) == 0
    said = capsys.readouterr().out
    assert all(one.name in said for one in known().values())


# ---- what there is ----------------------------------------------------------------------------------------------


def test_every_lock_pins_what_is_required() -> None:
    for one in known().values():
        text = one.lock.read_text()
        for requirement in one.requires:
            name, _, number = requirement.partition("==")
            name = name.partition("[")[0].split(">")[0]
            assert re.search(rf"^{name}=={re.escape(number)}", text, re.MULTILINE), requirement
        assert "--hash=sha256:" in text
        assert "://" not in text


def test_frameworks_are_found_by_name_and_alias() -> None:
    every = known()
    words = [word for one in every.values() for word in (one.name, *one.aliases)]
    assert len(words) == len(set(words))
    assert all(find(every, word.upper()) for word in words)


def test_what_is_wrong_in_a_table_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadArguments, match="cannot be read"):
        known(str(tmp_path))
    for text, said in (("[x]\ncolour = 1", "unknown key 'colour'"), ("[x]", "there is no"), ("[x", "cannot be read")):
        folder = tmp_path / said[:5].strip()
        folder.mkdir(exist_ok=True)
        (folder / "frameworks.toml").write_text(text)
        frameworks._read.cache_clear()
        with pytest.raises(BadArguments, match=said):
            known(str(folder))


def test_nothing_outside_its_own_backend_names_a_framework() -> None:
    table = tomllib.loads((ROOT / "adapters" / "sidekick" / "frameworks.toml").read_text())
    names = {n for name, said in table.items() for n in (name, name.replace("-", "_"), *said.get("aliases", ()))}
    names |= {said["title"] for said in table.values()}
    own = ROOT / "adapters" / "sidekick" / "runner" / "backends"
    looked = [
        p for room in ("adapters", "gateway", "registry", "bench", "examples/tour") for p in (ROOT / room).rglob("*.py")
    ]
    assert len(looked) > 50
    for path in looked:
        if own not in path.parents:
            found = {n for n in names if re.search(rf"(?i)(?<![a-z]){re.escape(n)}(?![a-z])", path.read_text())}
            assert not found, f"{path.relative_to(ROOT)} names {found}"
    assert {p.stem for p in own.glob("*.py")} == {name.replace("-", "_") for name in table}
