"""The commands of `examples/python_first/README.md` do what it says, each in a process of its own."""

import asyncio
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from examples.scripted_model.server import ScriptedModel
from tests.conftest import ROOT
from tests.e2e.sidekick.rooms import VENVS

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(480)]
HERE = ROOT / "examples" / "python_first"


async def run(line: str, folder: Path) -> str:
    """What it prints. Forgetting ends with 1, as the tutorial says: the MCP server cannot be told to."""
    word, *words = shlex.split(line)
    assert word == "doolittle"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway.cli", *words, cwd=folder, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    expected = 1 if line.startswith("doolittle forget") else 0
    assert process.returncode == expected, f"{line}: {out.decode()}{err.decode()}"
    return out.decode()


async def test_the_tutorial_as_it_stands(tmp_path: Path) -> None:
    for name in ("ada.json", "own.py"):
        shutil.copy(HERE / name, tmp_path)
    VENVS.mkdir(parents=True, exist_ok=True)
    (tmp_path / ".doolittle" / "sidekick").mkdir(parents=True)
    (tmp_path / ".doolittle" / "sidekick" / "venvs").symlink_to(VENVS)  # environments of all runs of the tests
    async with ScriptedModel().serving() as model:
        text = (HERE / "README.md").read_text().replace("http://127.0.0.1:8790/v1", model.url)
        server = f"{sys.executable} {HERE.parent / 'mcp_server' / 'server.py'}"
        text = text.replace("python ../mcp_server/server.py", server)
        said: list[tuple[str, str]] = []
        prompts: dict[str, str] = {}
        for kind, block in re.findall(r"```(sh|toml)\n(.*?)```", text, re.DOTALL):
            if kind == "toml":
                config = tmp_path / "doolittle.toml"
                own = block.replace("/the/folder/of/own.py", str(tmp_path))
                config.write_text(config.read_text().replace("[upstreams.ada]\n", f"[upstreams.ada]\n{own}"))
                continue
            for line in block.splitlines():
                said.append((line, await run(line, tmp_path)))
                prompts[line] = str(model.bodies[-1]["messages"]) if model.bodies else ""

    def answers(words: str) -> list[str]:
        """What was printed for the commands with these words, in order."""
        return [out for line, out in said if words in line]

    assert "She met Charles Babbage" in answers("character show")[0]
    assert "never read by the gateway" not in "".join([*(out for _, out in said), *prompts.values()])
    later, ben, tea, evening = answers("'!told'")
    assert "Their name is Robert." in later
    assert "My parrot is called Polly." in later
    assert "spoken with them 1 times" in later
    assert "They are called Ben here." in ben
    assert "What you answer is heard by Ann too." in ben
    assert "- My boat is red." not in ben
    assert "- My boat is red." in tea, "Ann alone hears it, and it is hers"
    assert "Robert" not in ben + tea
    assert "You were born on 10 December 1815." in evening
    assert "They promised: I promise to feed her." in evening
    four, three = answers("!use words__count")
    assert four.startswith("The answer is")
    assert '"words": 4' in four
    assert '"words": 3' in three
    (switched,) = answers("engine ada elizaos-python")
    assert "ada thinks by elizaos-python" in switched
    assert "Memory does not move" in switched
    (now,) = (prompt for line, prompt in prompts.items() if "And now" in line)
    assert "<providers>" in now, "the runtime's own prompt"
    assert "Their name is Robert." in now
    (table,) = answers("bench tau2")
    assert re.search(r"ada on langgraph +1\.0", table)
    assert re.search(r"ada on elizaos-python +1\.0", table)
    ann, local = answers("forget local")
    assert "ok  ada: forgotten" in ann
    assert "ok  ada: forgotten" in local
