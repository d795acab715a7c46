"""Servers as processes of their own: started, watched by the kernel's count, and stopped."""

import json
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Server:
    """One process that listens on `port`; what it wants as a key."""

    process: "subprocess.Popen[bytes]"
    port: int
    key: str = ""

    @property
    def cpu(self) -> float:
        """Seconds of CPU that it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    @property
    def rss(self) -> float:
        """Megabytes in memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return int(next(x for x in status if x.startswith("VmRSS")).split()[1]) / 1024

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run(*words: str, stderr: int | None = None) -> "subprocess.Popen[bytes]":
    """A child that says nothing."""
    return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr)


def echo() -> Server:
    port = free_port()
    return Server(run(sys.executable, str(ROOT / "bench" / "echo.py"), str(port)), port)


def floor(upstream: int) -> Server:
    port = free_port()
    url = f"http://127.0.0.1:{upstream}/mcp"
    return Server(run(sys.executable, str(ROOT / "bench" / "floor.py"), str(port), url), port, "bench")


def gateway(folder: Path, upstream: int, transport: str) -> Server:
    """With a key of its own, audit and metrics; its log at `error`."""
    folder.mkdir()
    url = f"http://127.0.0.1:{upstream}/mcp"
    (folder / "doolittle.toml").write_text(
        f'log = "error"\n[server]\ntransport = "{transport}"\n[refresh]\nevery = 3600\n'
        '[upstreams.w]\nnetwork = "fake"\nurl = "fake://bench"\n'
        f'[upstreams.old]\nnetwork = "mcp"\nurl = "{url}"\nera = "handshake"\n'
        f'[upstreams.new]\nnetwork = "mcp"\nurl = "{url}"\nera = "modern"\n'
    )
    command = [sys.executable, "-m", "gateway.cli", "--config", str(folder / "doolittle.toml")]
    made = subprocess.run(
        [*command, "--json", "keys", "create", "bench", "--role", "call", "--role", "admin"], capture_output=True
    )
    key = json.loads(made.stdout)["secret"]
    port = free_port()
    return Server(run(*command, "serve", "--port", str(port)), port, key)
