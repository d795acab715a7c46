"""The plugin as npm would give it: its packages installed, and built."""

import subprocess
from pathlib import Path

import pytest

from examples.tour.eliza import NODE, npm_ci
from tests.e2e.plugin.wire import PLUGIN


def node(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """A program of the plugin's packages, in its folder."""
    command = [NODE, PLUGIN / "node_modules" / words[0], *words[1:]]
    return subprocess.run(command, cwd=PLUGIN, capture_output=True, text=True, timeout=110)


@pytest.fixture(scope="session")
def packages() -> None:
    npm_ci(PLUGIN, print)


@pytest.fixture(scope="session")
def built(packages: None) -> Path:
    """The module that an agent loads."""
    done = node("tsup/dist/cli-default.js")
    assert done.returncode == 0, done.stdout + done.stderr
    return PLUGIN / "dist" / "index.js"
