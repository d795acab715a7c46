"""The frameworks' environments: each made by uv in a temporary place, byte-compiled, and then renamed."""

import asyncio
import fcntl
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.errors import ConnectFailed, GatewayError, Refused
from adapters.sidekick.frameworks import Framework

STAMP = "sidekick.json"
LONG = 1200.0
"""Seconds that one step of an installation may take."""


@dataclass(frozen=True, slots=True)
class Venv:
    """One framework's environment: where it is, or would be."""

    framework: Framework
    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def ready(self) -> bool:
        """It was made whole, and for this version of the framework."""
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

    def of(self, framework: Framework) -> Venv:
        return Venv(framework, self.folder / f"{framework.name}-{framework.digest}")

    async def install(self, framework: Framework) -> Venv:
        """Makes it if it is not there. Who is cancelled while it is made leaves it to be finished for the next.

        Raises `Refused` or `ConnectFailed`, delivered "no", with a sentence that says what to do.
        """
        venv = self.of(framework)
        if venv.ready:
            return venv
        task = self._installing.get(framework.name)
        if task is None:
            task = asyncio.create_task(self._install(venv), name=f"install {framework.name}")
            self._installing[framework.name] = task
            task.add_done_callback(lambda _: self._installing.pop(framework.name, None))
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
            async with _alone(self.folder / f"{venv.framework.name}.lock"):
                if not venv.ready:
                    await self._make(venv)
        except OSError as fault:
            said = f"'{venv.framework.name}' cannot be installed: {fault.strerror or fault} ({self.folder})"
            raise Refused(said, delivered="no") from fault
        return venv

    async def _make(self, venv: Venv) -> None:
        framework, began = venv.framework, time.monotonic()
        free = shutil.disk_usage(self.folder).free >> 20
        if free < 1.2 * framework.megabytes + 100:
            text = f"'{framework.name}' needs about {framework.megabytes} MB on disk, and {free} MB are free"
            raise Refused(f"{text}; make room, or set 'venvs' of the upstream to another disk", delivered="no")
        half = Path(tempfile.mkdtemp(prefix=f".{framework.name}-", dir=self.folder))
        try:
            await _run(
                _uv("venv", "--no-config", "--relocatable", "--python", sys.executable, str(half / "venv")), framework
            )
            if framework.requires:
                words = (
                    ["--require-hashes", "-r", str(framework.lock)] if framework.lock.exists() else framework.requires
                )
                python = str(half / "venv" / "bin" / "python")
                await _run(_uv("pip", "install", "--compile-bytecode", "--python", python, *words), framework)
            facts = await asyncio.to_thread(_facts, half / "venv")
            (half / "venv" / STAMP).write_text(json.dumps({**facts, "seconds": round(time.monotonic() - began, 3)}))
            shutil.rmtree(venv.folder, ignore_errors=True)
            (half / "venv").rename(venv.folder)
        finally:
            await asyncio.to_thread(shutil.rmtree, half, ignore_errors=True)

    async def remove(self, framework: Framework) -> int:
        """All environments that this framework has here; how many there were."""
        gone = 0
        async with _alone(self.folder / f"{framework.name}.lock"):
            for found in [*self.folder.glob(f"{framework.name}-*"), *self.folder.glob(f".{framework.name}-*")]:
                if found.name.removeprefix(".")[len(framework.name) + 1 :].replace("_", "").isalnum():
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
        raise Refused(f"environments of frameworks are made with uv, which is not installed: {line}", delivered="no")
    return [found, *words, "--quiet", "--no-progress"]


async def _run(command: Iterable[str], framework: Framework) -> None:
    """Raises `ConnectFailed` where a registry was not reached, `Refused` for every other fault of uv's."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip
    try:
        async with asyncio.timeout(LONG):
            said = (await process.communicate())[0].decode("utf-8", "replace").strip()
    except TimeoutError as fault:
        raise Refused(f"'{framework.name}' was not installed within {LONG:g} seconds", delivered="no") from fault
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            await process.wait()
    if process.returncode:
        raise _explained(said, framework.name)


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
