"""The rules of the house, as far as a machine can look."""

import ast
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from adapters import errors
from adapters.load import Adapters
from gateway import settings
from tests.conftest import ROOT

FILES = [p for room in ("registry", "adapters", "gateway") for p in sorted((ROOT / room).rglob("*.py"))]
NETWORKS = {f.name for f in Adapters.installed().all()} - {"http"}
PILLARS = {p.parent.name for p in (ROOT / "adapters").glob("*/manifest.toml")}
"""The networks' folders. What two of them share stands beside them, in a module of `adapters` itself."""
SAMPLE = "conformance"
"""The suite calls the network without a network, which the project's own tests run on."""
LONG_FUNCTIONS = {"keys", "upgrade"}
"""Functions over 50 lines; this list only shrinks. (`keys` defines three commands, `upgrade` all tables.)"""


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_arrows_run_one_way_and_files_are_small(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0]
    found = imports(path)
    if room == "registry":
        assert not any(name.split(".")[0] in ("adapters", "gateway") for name in found)
    if room == "adapters":
        assert not any(name.split(".")[0] == "gateway" for name in found)
        own = path.relative_to(ROOT).parts[1]
        allowed = {own, "fake"} if own == SAMPLE else {own}
        networks = {name.split(".")[1] for name in found if name.startswith("adapters.")} & PILLARS
        assert networks <= allowed, f"imports another network: {networks - allowed}"
    if room == "gateway":
        assert not any(name.startswith(tuple(f"adapters.{n}" for n in NETWORKS | {"http"})) for name in found)
    if room in ("gateway", "registry"):
        texts = {n.value for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Constant)}
        assert not texts & NETWORKS, "the core names no network"
    lines = path.read_text().splitlines()
    assert len(lines) <= 400
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name not in LONG_FUNCTIONS:
            assert (node.end_lineno or 0) - node.lineno < 50, node.name
    assert not re.search(r"(utils|manager|helper|service)", path.name)


def test_every_setting_error_and_contract_member_is_documented() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    for name, section in settings.Settings.model_fields.items():
        assert name in text
        for key in getattr(section.annotation, "model_fields", {}):
            assert f"`{name}.{key}`" in text
    for key in (*settings.UpstreamSettings.model_fields, *settings.ViewSettings.model_fields):
        assert f".{key}`" in text
    table = (ROOT / "docs" / "errors.md").read_text()
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, errors.GatewayError):
            assert f"| {kind.__name__} | `{kind.code}` | {kind.status} | {kind.usually} |" in table
    for path in (ROOT / "adapters" / f"{name}.py" for name in ("spi", "call", "host")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                assert ast.get_docstring(node), f"{node.name} has no docstring"


def test_every_adapter_has_the_same_files() -> None:
    for found in Adapters.installed().all():
        assert found.manifest, found.fault
        names = {p.name for p in found.manifest.folder.iterdir()}
        assert {"manifest.toml", "__init__.py", "translate.py", "README.md"} <= names
        for role in found.manifest.roles:
            assert f"{role}.py" in names


def test_locks_name_no_place_to_download_from() -> None:
    for path in [ROOT / "requirements.lock", *ROOT.glob("**/package-lock.json")]:
        if "node_modules" not in path.parts:
            text = path.read_text()
            assert "resolved" not in text
            assert not re.search(r"://[^\"]*\.(tgz|whl|tar\.gz)", text)
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    locked = (ROOT / "requirements.lock").read_text()
    for requirement in wanted:
        assert re.search(rf"^{re.split('[><=;]', requirement)[0]}==", locked, re.MULTILINE), requirement
        assert "<" in requirement, "an upper bound"


@pytest.mark.e2e
def test_the_commands_of_the_readme_run_as_they_stand(tmp_path: Path) -> None:
    block = (ROOT / "README.md").read_text().split("```sh\n")[1].split("```")[0]
    for line in block.splitlines():
        words = shlex.split(line)
        assert words[0] == "doolittle"
        done = subprocess.run(
            [sys.executable, "-m", "gateway.cli", *words[1:]], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{line}: {done.stderr}"
        assert done.stdout
