"""Environments of Python beside our own: each made by uv in a temporary place, byte-compiled, and then renamed.

Shared by the networks whose far sides are Python that cannot live in the gateway's process.
"""

import asyncio
import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from adapters.errors import ConnectFailed, GatewayError, Refused

STAMP = "sidekick.json"
"""Written last: an environment without it is not whole. (It bears the name of those that had environments first.)"""
LONG = 1200.0
"""Seconds that one step of an installation may take."""
COMPILE = (
    "uv", "pip", "compile", "--universal", "--python-version", "3.11", "--generate-hashes", "--no-annotate",
    "--no-header", "--quiet", "--no-emit-index-url", "-",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Environment:
    """What one is made from. `lock` pins, with hashes, all that `requires` brings; `megabytes`: about what it takes."""

    name: str
    title: str
    lock: Path
    requires: tuple[str, ...] = ()
    megabytes: int = 0

    @property
    def digest(self) -> str:
        """Of all that it is made from: what is made from other things stands beside it."""
        pins = self.lock.read_bytes() if self.lock.exists() else b""
        return sha256("\n".join(self.requires).encode() + pins).hexdigest()[:12]

    def compile(self) -> None:
        """Writes its lock anew. For whoever works on the project: uv is asked, and uv asks the registry."""
        said = "\n".join(self.requires).encode()
        subprocess.run([*COMPILE, "-o", str(self.lock)], input=said, check=True, stdout=subprocess.DEVNULL)


@dataclass(frozen=True, slots=True)
class Venv:
    """Where an environment is, or would be."""

    of: Environment
    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def ready(self) -> bool:
        """It was made whole, and from what it is made from now."""
        return (self.folder / STAMP).exists()

    def facts(self) -> dict[str, Any]:
        """What its stamp says: versions, megabytes, seconds."""
        try:
            return dict(json.loads((self.folder / STAMP).read_text()))
        except (OSError, ValueError):
            return {}


class Venvs:
    """All environments in one folder. Several processes may use it: each installation holds a lock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._installing: dict[str, asyncio.Task[Venv]] = {}

    def of(self, environment: Environment) -> Venv:
        return Venv(environment, self.folder / f"{environment.name}-{environment.digest}")

    async def install(self, environment: Environment) -> Venv:
        """Makes it if it is not there. Who is cancelled while it is made leaves it to be finished for the next.

        Raises `Refused` or `ConnectFailed`, delivered "no", with a sentence that says what to do.
        """
        venv = self.of(environment)
        if venv.ready:
            return venv
        task = self._installing.get(environment.name)
        if task is None:
            task = asyncio.create_task(self._install(venv), name=f"install {environment.name}")
            self._installing[environment.name] = task
            task.add_done_callback(lambda _: self._installing.pop(environment.name, None))
        return await asyncio.shield(task)

    async def stop(self) -> None:
        """Breaks off what is being made; nothing is left of it."""
        for task in list(self._installing.values()):
            task.cancel()
            with suppress(asyncio.CancelledError, GatewayError):
                await task

    async def _install(self, venv: Venv) -> Venv:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            async with _alone(self.folder / f"{venv.of.name}.lock"):
                if not venv.ready:
                    await self._make(venv)
        except OSError as fault:
            said = f"'{venv.of.name}' cannot be installed: {fault.strerror or fault} ({self.folder})"
            raise Refused(said, delivered="no") from fault
        return venv

    async def _make(self, venv: Venv) -> None:
        environment, began = venv.of, time.monotonic()
        free = shutil.disk_usage(self.folder).free >> 20
        if free < 1.2 * environment.megabytes + 100:
            text = f"'{environment.name}' needs about {environment.megabytes} MB on disk, and {free} MB are free"
            raise Refused(f"{text}; make room, or set 'venvs' of the upstream to another disk", delivered="no")
        half = Path(tempfile.mkdtemp(prefix=f".{environment.name}-", dir=self.folder))
        try:
            made = _uv("venv", "--no-config", "--relocatable", "--python", sys.executable, str(half / "venv"))
            await _run(made, environment)
            if environment.requires:
                pinned = ("--require-hashes", "-r", str(environment.lock))
                words = pinned if environment.lock.exists() else environment.requires
                python = str(half / "venv" / "bin" / "python")
                await _run(_uv("pip", "install", "--compile-bytecode", "--python", python, *words), environment)
            facts = await asyncio.to_thread(_facts, half / "venv")
            (half / "venv" / STAMP).write_text(json.dumps({**facts, "seconds": round(time.monotonic() - began, 3)}))
            shutil.rmtree(venv.folder, ignore_errors=True)
            (half / "venv").rename(venv.folder)
        finally:
            await asyncio.to_thread(shutil.rmtree, half, ignore_errors=True)

    async def remove(self, environment: Environment) -> int:
        """All environments of that name here; how many there were."""
        gone = 0
        async with _alone(self.folder / f"{environment.name}.lock"):
            for found in [*self.folder.glob(f"{environment.name}-*"), *self.folder.glob(f".{environment.name}-*")]:
                if found.name.removeprefix(".")[len(environment.name) + 1 :].replace("_", "").isalnum():
                    await asyncio.to_thread(shutil.rmtree, found)
                    gone += not found.name.startswith(".")
        return gone


@asynccontextmanager
async def _alone(path: Path) -> AsyncIterator[None]:
    """While another process installs, this one waits."""
    with path.open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(0.2)
        yield


def _uv(*words: str) -> list[str]:
    """A command of uv's: of the package `uv`, else of PATH. Raises `Refused` where there is none."""
    beside = Path(sys.executable).parent / "uv"
    found = str(beside) if beside.exists() else shutil.which("uv")
    if found is None:
        line = "pip install 'doolittle[sidekick]'"
        raise Refused(f"environments are made with uv, which is not installed: {line}", delivered="no")
    return [found, *words, "--quiet", "--no-progress"]


async def _run(command: Iterable[str], environment: Environment) -> None:
    """Raises `ConnectFailed` where a registry was not reached, `Refused` for every other fault of uv's."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip
    try:
        async with asyncio.timeout(LONG):
            said = (await process.communicate())[0].decode("utf-8", "replace").strip()
    except TimeoutError as fault:
        raise Refused(f"'{environment.name}' was not installed within {LONG:g} seconds", delivered="no") from fault
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            await process.wait()
    if process.returncode:
        raise _explained(said, environment.name)


def _explained(said: str, name: str) -> GatewayError:
    low = said.lower()
    if any(words in low for words in ("failed to fetch", "dns error", "connect", "timed out", "could not connect")):
        said_so = "the package registry was not reached (uv finds it by UV_INDEX_URL, or by uv.toml)"
        return ConnectFailed(f"'{name}' cannot be installed: {said_so}", detail=said, delivered="no")
    if "no space left" in low or "os error 28" in low:
        return Refused(f"'{name}' cannot be installed: the disk is full", detail=said, delivered="no")
    last = " ".join(said.split())[-300:]
    return Refused(f"'{name}' cannot be installed: {last}", detail=said, delivered="no")


def _facts(venv: Path) -> dict[str, Any]:
    size = sum(path.lstat().st_size for path in venv.rglob("*") if not path.is_dir())
    found = sorted(path.name for path in venv.glob("lib/python*/site-packages/*.dist-info"))
    pairs = (name.removesuffix(".dist-info").rpartition("-") for name in found)
    return {"megabytes": round(size / 2**20), "versions": {name.replace("_", "-"): number for name, _, number in pairs}}
