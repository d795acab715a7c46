"""A network is one folder and one entry point: packages outside the tree are installed, pass, and are called."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from adapters import scaffold
from adapters.errors import BadArguments
from tests.conftest import ROOT

pytestmark = pytest.mark.e2e


def install(package: Path, target: Path) -> dict[str, str]:
    """Into a folder of its own, without an index; the environment in which it is found."""
    python = str(getattr(sys, "_base_executable", sys.executable))
    words = ["install", "-q", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(target), str(package)]
    done = subprocess.run([python, "-m", "pip", "--python", sys.executable, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {**os.environ, "PYTHONPATH": f"{target}:{ROOT}"}


def passes(package: Path, environment: dict[str, str], least: int) -> None:
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    done = subprocess.run(words, cwd=package, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
    assert int(done.stdout.rsplit(" passed", 1)[0].rsplit(maxsplit=1)[-1]) >= least


def copied(package: Path, target: Path) -> Path:
    """Built from a copy: nothing is written beside the sources."""
    import shutil

    return Path(shutil.copytree(package, target, ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info")))


def test_the_example_is_installed_passes_and_is_called(tmp_path: Path) -> None:
    package = copied(ROOT / "examples" / "new_network", tmp_path / "package")
    environment = install(package, tmp_path / "site")
    passes(package, environment, 30)
    script = """
import asyncio, subprocess, sys
from doolittle_morse.testing import MorseFarSide
async def main():
    far = MorseFarSide()
    await far.open()
    with open("doolittle.toml", "w") as file:
        file.write(f'[upstreams.office]\\nnetwork = "morse"\\nurl = "{far.upstream.url}"\\n')
    words = [sys.executable, "-m", "gateway.cli", "call", "paris__say", "text=bonjour"]
    child = await asyncio.create_subprocess_exec(*words)
    sys.exit(await child.wait())
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "bonjour\n"), done.stderr


def test_a_new_adapter_passes_as_it_was_written(tmp_path: Path) -> None:
    written = scaffold.write("semaphore", tmp_path)
    assert written[0].name == "pyproject.toml"
    passes(written[0].parent, install(written[0].parent, tmp_path / "site"), 14)


@pytest.mark.parametrize("name", ["", "a", "Morse", "two words", "../up", "class", "x" * 21, "é"])
def test_names_that_are_none(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadArguments):
        scaffold.write(name, tmp_path)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    scaffold.write("morse", tmp_path)
    with pytest.raises(BadArguments, match="already"):
        scaffold.write("morse", tmp_path)
