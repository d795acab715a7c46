"""The plugin's own checks, and that it speaks as the gateway does."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from examples.tour.eliza import NODE, NPM
from gateway.testing import Box
from tests.conftest import ROOT
from tests.e2e.plugin.conftest import node
from tests.e2e.plugin.wire import PLUGIN, document, types

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


@pytest.mark.parametrize("words", ["typescript/bin/tsc --noEmit", "eslint/bin/eslint.js .", "vitest/vitest.mjs run"])
def test_its_own_checks(packages: None, words: str) -> None:
    done = node(*words.split())
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_is_built_as_plugins_are(built: Path) -> None:
    said = json.loads((PLUGIN / "package.json").read_text())
    assert (PLUGIN / said["main"]) == built
    assert (PLUGIN / said["types"]).exists()
    imported = re.findall(r"^import .* from [\"'](.*)[\"'];$", built.read_text(), re.MULTILINE)
    assert set(imported) == {"crypto"}, "nothing but Node's own at run time"
    assert said["agentConfig"]["pluginType"] == "elizaos:plugin:1.0.0"
    assert "dependencies" not in said
    source = "".join(path.read_text() for path in (PLUGIN / "src").glob("*.ts"))
    for name in said["agentConfig"]["pluginParameters"]:
        assert name in source
        assert name in (PLUGIN / "README.md").read_text()


def test_the_package_holds_what_an_agent_needs(built: Path) -> None:
    done = subprocess.run(
        [NODE, NPM, "pack", "--dry-run", "--json", "--ignore-scripts"], cwd=PLUGIN, capture_output=True
    )
    (packed,) = json.loads(done.stdout)
    names = {entry["path"] for entry in packed["files"]}
    assert names == {"README.md", "package.json", *(f"dist/index.{end}" for end in ("js", "js.map", "d.ts"))}


def test_only_three_files_touch_the_runtime_and_none_needs_the_core() -> None:
    texts = {path.name: path.read_text() for path in (PLUGIN / "src").glob("*.ts")}
    touching = {name for name, text in texts.items() if "@elizaos/core" in text}
    assert touching == {"eliza.ts", "eliza-run.ts", "eliza-forget.ts"}
    assert not [name for name, text in texts.items() if re.search(r"^import (?!type)[^;]*@elizaos/core", text, re.M)]


async def test_the_wire_is_the_gateways(packages: None, box: Box, tmp_path: Path) -> None:
    """`make wire` writes both anew."""
    assert await document(box) == (PLUGIN / "openapi.json").read_bytes()
    types(PLUGIN / "openapi.json", tmp_path / "wire.ts")
    assert (tmp_path / "wire.ts").read_text() == (PLUGIN / "src" / "wire.ts").read_text()


def test_the_licence_and_the_version_are_the_projects() -> None:
    said = json.loads((PLUGIN / "package.json").read_text())
    assert said["license"] == "MIT"
    assert f'version = "{said["version"]}"' in (ROOT / "pyproject.toml").read_text()
