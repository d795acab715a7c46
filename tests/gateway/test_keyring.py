"""One master seed, and what hangs on it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.errors import BadArguments, Conflict
from gateway.keyring import MasterKeyring
from gateway.seal import Seal
from gateway.testing import Box
from registry.store import Store

PASSPHRASE = "correct horse battery"
paths = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=3).map(tuple)


async def ring(folder: Path, seal: bytes = bytes(32)) -> MasterKeyring:
    store = Store(f"sqlite:///{folder / 'd.db'}")
    await store.open()
    made = MasterKeyring(store, Seal(seal))
    await made.load()
    return made


async def test_a_path_has_one_seed_over_restarts_and_each_gateway_its_own(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    first, again, other = await ring(tmp_path), await ring(tmp_path), await ring(tmp_path / "b")
    assert first.seed("net", "eliza") == again.seed("net", "eliza")
    assert len(first.seed("net", "eliza")) == 32
    assert first.seed("net", "eliza") != other.seed("net", "eliza"), "a name alone gives nothing away"
    assert first.fingerprint == again.fingerprint != other.fingerprint


async def test_no_two_paths_share_a_seed(tmp_path: Path) -> None:
    found = await ring(tmp_path)

    @given(paths, paths)
    def distinct(one: tuple[str, ...], two: tuple[str, ...]) -> None:
        assert (found.seed(*one) == found.seed(*two)) == (one == two)

    distinct()
    assert found.seed("a", "b") != found.seed("ab", "")


async def test_rotation_changes_one_identity_for_good(tmp_path: Path) -> None:
    found = await ring(tmp_path)
    before = {name: found.seed("net", name) for name in ("eliza", "higgins")}
    revision = found.revision
    assert await found.rotate(("net", "eliza")) == 1
    assert found.seed("net", "eliza") != before["eliza"]
    assert found.seed("net", "higgins") == before["higgins"]
    assert found.revision > revision, "whoever holds what hangs on it hears of it"
    assert (await ring(tmp_path)).seed("net", "eliza") == found.seed("net", "eliza")
    assert await found.rotate(("net", "eliza")) == 2
    for bad in ((), ("net",), ("net", ""), ("net", "x" * 129), ("net", "a\n")):
        with pytest.raises(BadArguments):
            await found.rotate(bad)


async def test_what_was_exported_is_there_again_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    here, there = await ring(tmp_path), await ring(tmp_path / "b", b"x" * 32)
    await here.rotate(("net", "eliza"))
    document = await here.export(PASSPHRASE)
    assert here._master.hex() not in document
    for bad, phrase in (
        (document, "correct horse batterx"),
        (document, "short"),
        (document.replace('"sealed": "', '"sealed": "AAAA'), PASSPHRASE),
        (document.replace("keyring-1", "keyring-2"), PASSPHRASE),
        ("{}", PASSPHRASE),
        ("[]", PASSPHRASE),
        ("no", PASSPHRASE),
    ):
        with pytest.raises(BadArguments):
            await there.replace(bad, phrase)
    assert there.seed("net", "eliza") != here.seed("net", "eliza"), "what failed changed nothing"
    await there.replace(document, PASSPHRASE)
    assert there.seed("net", "eliza") == here.seed("net", "eliza")
    assert there.rotated() == [(("net", "eliza"), 1)]
    assert (await ring(tmp_path / "b", b"x" * 32)).fingerprint == here.fingerprint


async def test_with_another_sealing_key_nothing_is_made_up(tmp_path: Path) -> None:
    before = await ring(tmp_path)
    document = await before.export(PASSPHRASE)
    strange = await ring(tmp_path, b"y" * 32)
    with pytest.raises(Conflict, match="sealing key"):
        strange.seed("net", "eliza")
    assert strange.fingerprint == ""
    await strange.replace(document, PASSPHRASE)
    assert strange.seed("net", "eliza") == before.seed("net", "eliza")


async def test_the_seed_is_sealed_at_rest(box: Box) -> None:
    master = box.gateway.keyring._master
    for file in (box.folder / ".doolittle").iterdir():
        assert master not in file.read_bytes()
        assert master.hex().encode() not in file.read_bytes()


def doolittle(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PHRASE": PASSPHRASE}
    command = [sys.executable, "-m", "gateway.cli", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment, check=False)


@pytest.mark.e2e
def test_export_import_and_rotation_by_command(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    shown = json.loads(doolittle(tmp_path, "keyring", "show", "--json").stdout)
    assert shown["rotated"] == []
    rotated = json.loads(doolittle(tmp_path, "keyring", "rotate", "net", "eliza", "--json").stdout)
    assert rotated == {**shown, "rotated": [{"path": ["net", "eliza"], "generation": 1}]}
    out = doolittle(tmp_path, "keyring", "export", "ring.json", "--passphrase", "env:PHRASE")
    assert out.returncode == 0, out.stderr
    file = tmp_path / "ring.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert doolittle(tmp_path, "keyring", "export", "ring.json", "--passphrase", "env:PHRASE").returncode == 2
    plain = doolittle(tmp_path, "keyring", "export", "other.json", "--passphrase", PASSPHRASE)
    assert plain.returncode == 2
    assert PASSPHRASE not in plain.stderr
    take = ("keyring", "import", str(file), "--passphrase", "env:PHRASE")
    refused = doolittle(tmp_path / "b", *take)
    assert refused.returncode == 2
    assert "--replace" in refused.stderr
    taken = doolittle(tmp_path / "b", *take, "--replace", "--json")
    assert json.loads(taken.stdout) == rotated
