"""Each command in the pages on clients exists, with the options that it is given, and each client has its page."""

import re
import shlex
import subprocess
import sys

import pytest

from adapters.mcp.clients.connect import connect, disconnect
from adapters.mcp.clients.importing import take
from adapters.mcp.clients.platform import Platform
from adapters.mcp.clients.programs import PROGRAMS
from tests.adapters.mcp.conftest import Told
from tests.conftest import ROOT

PAGES = sorted((ROOT / "docs" / "clients").glob("*.md"))
OURS = {"connect": connect, "disconnect": disconnect, "import": take}


def lines() -> list[list[str]]:
    text = "\n".join(page.read_text() for page in PAGES)
    found = re.findall(r"^    (doolittle .*)$", text, re.MULTILINE) + re.findall(r"`(doolittle [^`]*)`", text)
    return [shlex.split(line) for line in found]


def test_each_client_has_a_page() -> None:
    assert {page.stem for page in PAGES} == {"README", *PROGRAMS}
    for name, program in PROGRAMS.items():
        text = (ROOT / "docs" / "clients" / f"{name}.md").read_text()
        assert program.table[0] in text
        assert f'"{program.url_key}"' in text or program.stdio_only
        for heading in ("## Disconnect", "## Limits", "## Trouble"):
            assert heading in text


async def test_their_words_are_taken(run: Told, platform: Platform) -> None:
    helps = {name: await run(function, "--help") for name, function in OURS.items()}
    for _, command, *words in lines():
        if command not in OURS:
            continue
        for word in words:
            if word.startswith("--"):
                assert word in helps[command], f"{command} {word}"
        if words and not words[0].startswith("-") and words[0] != "CLIENT":
            assert words[0] in {*PROGRAMS, "json"} or words[0].endswith(".json"), words


@pytest.mark.e2e
def test_their_commands_exist() -> None:
    done = subprocess.run([sys.executable, "-m", "gateway.cli", "--help"], capture_output=True, text=True)
    for _, command, *_ in lines():
        assert re.search(rf"^\s+{command}\s", done.stdout, re.MULTILINE), command
