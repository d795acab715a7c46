"""`doolittle import` and `doolittle add`, as processes: a client's own servers become upstreams, and are called."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.e2e
WORDS = str(ROOT / "examples" / "mcp_server" / "server.py")


def doolittle(folder: Path, *words: str) -> str:
    """What the command prints; it must end well."""
    command = [sys.executable, "-m", "gateway.cli", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_what_a_client_knows_is_called_through_the_gateway(tmp_path: Path) -> None:
    known = {"My Words": {"command": sys.executable, "args": [WORDS], "env": {"TOKEN": "s3cret"}}}
    (tmp_path / "claude.json").write_text(json.dumps({"mcpServers": known}))
    assert "added      My Words as my-words" in doolittle(tmp_path, "import", "claude.json")
    assert (tmp_path / "doolittle.toml").stat().st_mode & 0o077 == 0, "it holds a secret now"
    assert doolittle(tmp_path, "call", "my-words__spell", "word=tea").strip() == "T-E-A"
    assert json.loads(doolittle(tmp_path, "call", "my-words__count", "text=a cup"))["words"] == 2
    assert "words, MCP 2026-07-28, 3 tools" in doolittle(tmp_path, "check")


def test_a_server_is_added_by_its_command(tmp_path: Path) -> None:
    said = doolittle(tmp_path, "add", "mcp", "words", "--", sys.executable, WORDS)
    assert said == "ok  words: words, MCP 2026-07-28, 3 tools\n"
    assert "words__greet" in doolittle(tmp_path, "tools")
