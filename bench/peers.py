"""Other gateways for MCP, each as its authors say it is run, in a virtual environment of their own under build/.

`fastmcp`: `create_proxy` over HTTP, without keys. `mcp-proxy`: the Python one, which leads from HTTP to a server on
stdio only, so it gets an echo there, by the SDK. What cannot be installed is left out, and the reason said.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from bench.load import NEW, OLD, Face
from bench.process import ROOT, Server, free_port, run

WANTED = ("fastmcp==4.1.2", "mcp-proxy==0.12.0 mcp==1.26.0")
"""The newest `mcp` breaks the other's import, so that one is named too."""
FEW = 60
"""Calls in a round: the first peer takes some tenths of a second for each."""
FASTMCP = (
    "import sys; from fastmcp.server import create_proxy;"
    "create_proxy(sys.argv[1]).run(transport='http', host='127.0.0.1', port=int(sys.argv[2]), path='/mcp',"
    " show_banner=False, log_level='ERROR')"
)
STDIO = (
    "from mcp.server.fastmcp import FastMCP\n"
    "m = FastMCP('echo')\n"
    "@m.tool()\n"
    "def echo(text: str) -> str: return text\n"
    "m.run()"
)


def python(folder: Path, wanted: str) -> str:
    """The interpreter of an environment with `wanted`. Raises `CalledProcessError` or `TimeoutExpired`."""
    home = folder / "-".join(wanted.split())
    found = str(home / "bin" / "python")
    if not (home / "installed").exists():
        print(f"installing {wanted} …", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True, timeout=120, capture_output=True)
        words = [found, "-m", "pip", "install", "-q", "--disable-pip-version-check", *wanted.split()]
        subprocess.run(words, check=True, timeout=300, capture_output=True)
        (home / "installed").touch()
    return found


def fastmcp(python: str, echo: Server) -> list[Face]:
    port = free_port()
    server = Server(run(python, "-c", FASTMCP, f"http://127.0.0.1:{echo.port}/mcp", str(port)), port)
    return [
        Face(f"peer fastmcp {OLD}", server, "/mcp", "echo", OLD, calls=FEW, session=True),
        Face(f"peer fastmcp {NEW}", server, "/mcp", "echo", NEW, calls=FEW),
    ]


def mcp_proxy(python: str, _echo: Server) -> list[Face]:
    port = free_port()
    words = ["-m", "mcp_proxy", "--host", "127.0.0.1", "--port", str(port), "--", python, "-c", STDIO]
    server = Server(run(python, *words, stderr=subprocess.DEVNULL), port)
    return [Face("peer mcp-proxy (stdio)", server, "/mcp", "echo", OLD, session=True)]


STARTS: dict[str, Callable[[str, Server], list[Face]]] = {"fastmcp": fastmcp, "mcp-proxy": mcp_proxy}


def start(echo: Server) -> list[Face]:
    """The faces of all that can be installed."""
    found: list[Face] = []
    for wanted in WANTED:
        try:
            made = python(ROOT / "build" / "peers", wanted)
        except (subprocess.SubprocessError, OSError) as fault:
            print(f"left out: {wanted} cannot be installed here ({type(fault).__name__})")
            continue
        found += STARTS[wanted.partition("==")[0]](made, echo)
    return found
