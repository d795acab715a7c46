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

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
HERE = ROOT / "examples" / "python_first"


async def run(line: str, folder: Path) -> str:
    word, *words = shlex.split(line)
    assert word == "doolittle"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway.cli", *words, cwd=folder, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode == 0, f"{line}: {out.decode()}{err.decode()}"
    return out.decode()


async def test_the_tutorial_as_it_stands(tmp_path: Path) -> None:
    for name in ("ada.json", "own.py"):
        shutil.copy(HERE / name, tmp_path)
    VENVS.mkdir(parents=True, exist_ok=True)
    (tmp_path / ".doolittle" / "sidekick").mkdir(parents=True)
    (tmp_path / ".doolittle" / "sidekick" / "venvs").symlink_to(VENVS)  # environments of all runs of the tests
    async with ScriptedModel().serving() as model:
        text = (HERE / "README.md").read_text().replace("http://127.0.0.1:8790/v1", model.url)
        said: dict[str, str] = {}
        told: dict[str, str] = {}
        for kind, block in re.findall(r"```(sh|toml)\n(.*?)```", text, re.DOTALL):
            if kind == "toml":
                config = tmp_path / "doolittle.toml"
                own = block.replace("/the/folder/of/own.py", str(tmp_path))
                config.write_text(config.read_text().replace("[upstreams.ada]\n", f"[upstreams.ada]\n{own}"))
                continue
            for line in block.splitlines():
                said[line] = await run(line, tmp_path)
                told[line] = str(model.bodies[-1]["messages"]) if model.bodies else ""
    lines = list(said)
    assert "She met Charles Babbage" in said["doolittle character show ada.json"]
    assert "never read by the gateway" not in "".join([*said.values(), *told.values()])
    (know,) = [line for line in lines if "Do you know me" in line]
    assert "Their name is Robert." in told[know]
    assert "My parrot is called Polly." in told[know]
    (promised,) = [line for line in lines if "What did I promise" in line]
    assert "You were born on 10 December 1815." in told[promised]
    assert "They promised: I promise to feed her." in told[promised]
    (switched,) = [line for line in lines if line.startswith("doolittle engine ada e")]
    assert "ada thinks by elizaos-python" in said[switched]
    assert "Memory does not move" in said[switched]
    (now,) = [line for line in lines if "And now" in line]
    assert "<providers>" in told[now], "the runtime's own prompt"
    assert "Their name is Robert." in told[now]
    assert "ok  ada: forgotten" in said[lines[-1]]
