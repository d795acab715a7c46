"""Sidekicks for the conformance suite: real runners in a real environment, of the framework without a framework."""

import shutil
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Any

from adapters.conformance import FarSide, Trial
from adapters.spi import Upstream

SCRIPTED = Path(__file__).resolve().parent / "scripted"


class SidekickFarSide(FarSide):
    """One group of sidekicks; what they do is seen in a folder of its own."""

    caller = "tester"

    async def open(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="sidekick-"))
        options: dict[str, Any] = {"model": "none", "more": str(SCRIPTED), "frameworks": ["scripted"]}
        options["env"] = {"SCRIPTED_FOLDER": str(self.folder)}
        self.upstream = Upstream("helpers", "sidekick", "http://127.0.0.1:9/v1", "sk-secret", options=options)

    async def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def say(self, text: str) -> Trial:
        return Trial("analyze", {"task": f"say {text}"}, text)

    def count(self, n: int) -> Trial:
        return Trial("analyze", {"task": f"count {n}"}, f"counted to {n}")

    def fail(self, code: str) -> Trial:
        return Trial("analyze", {"task": "fail now"})

    def codes(self) -> tuple[str, ...]:
        return ("refused",)

    def hang(self) -> Trial:
        return Trial("analyze", {"task": "hang on"})

    def garbage(self) -> tuple[Trial, ...]:
        return (Trial("analyze", {"task": "nothing at all"}), *self.broken())

    def broken(self) -> tuple[Trial, ...]:
        return (Trial("analyze", {"task": "die now"}),)

    def ask(self, live: bool) -> Trial:
        return Trial("ask", {"message": "ask me"})

    def job(self, text: str) -> Trial:
        return Trial("ask", {"message": f"job {text}"}, f"done: {text}")

    def big(self, size: int) -> Trial:
        return Trial("analyze", {"task": f"big {size}"})

    def talk(self, text: str) -> Trial:
        return Trial("analyze", {"task": f"talk {text}"})

    def delivered(self, call: str) -> int:
        log = self.folder / "delivered"
        name = sha256(f"{self.caller}\0{call}".encode()).hexdigest()[:32]
        return log.read_text().split("\n").count(name) if log.exists() else 0

    def running(self) -> int:
        marks = [path.name.split("-")[1] for path in self.folder.glob("running-*")]
        return sum(Path(f"/proc/{pid}").exists() for pid in marks)
