"""`doolittle publish uagents AGENT`, with a server and without one."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from tests.e2e.uagents.almanac import Almanac, served

pytestmark = pytest.mark.e2e


async def doolittle(folder: Path, *words: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway.cli", *words, cwd=folder, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={**os.environ},
    )  # fmt: skip
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_an_agent_is_published_by_command(tmp_path: Path) -> None:
    almanac = Almanac()
    async with served(almanac) as url:
        config = tmp_path / "doolittle.toml"
        upstream = 'log = "error"\n[upstreams.w]\nnetwork = "fake"\nurl = "fake://published"\n'
        config.write_text(f'{upstream}[networks.uagents]\nalmanac = "{url}"\nregistration = "almanac"\n')
        code, out, err = await doolittle(tmp_path, "publish", "uagents", "all")
        assert code == 0, err
        (address,) = almanac.agents
        assert f"all is {address}" in out
        code, out, _ = await doolittle(tmp_path, "publish", "uagents", "all", "--models")
        assert code == 0
        assert "class EchoRequest(Model):" in out
        assert repr(address) in out
        code, out, _ = await doolittle(tmp_path, "publish", "uagents", "all", "--json")
        assert json.loads(out)["address"] == address, "the same each time"
        for words, said in (
            (("publish", "morse", "all"), "name the network first: "),
            (("publish", "uagents"), "usage: doolittle publish uagents AGENT"),
            (("publish", "uagents", "nobody"), "no agent 'nobody' is published"),
        ):
            code, _, err = await doolittle(tmp_path, *words)
            assert code == 2
            assert said in err
        config.write_text(upstream)
        code, _, err = await doolittle(tmp_path, "publish", "uagents", "all")
        assert code == 2
        assert 'registration = "almanac"' in err
