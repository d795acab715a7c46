"""`python -m tests.e2e.mcp.everything PORT [PAGE]` · `… stdio [PAGE]`: the server, its lists in pages of so many.

On port 0 it takes a free one; with TOKEN in the environment it wants to see it, with PID_FILE it notes its number
there. It prints `{"ready": URL}`, and ends when its standard input does.
"""

import asyncio
import json
import os
import socket
import sys
from pathlib import Path

import uvicorn

from tests.e2e.mcp.everything.server import app, stdio
from tests.e2e.mcp.everything.tool import World


async def http(world: World, port: int) -> None:
    sock = socket.create_server(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    face = app(world, os.environ.get("TOKEN", ""))
    server = uvicorn.Server(uvicorn.Config(face, http="h11", log_level="error", timeout_graceful_shutdown=1))
    serving = asyncio.create_task(server.serve(sockets=[sock]))
    print(json.dumps({"ready": f"http://127.0.0.1:{sock.getsockname()[1]}/mcp"}), flush=True)
    ended = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    await asyncio.wait({serving, ended}, return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    await serving


def main(where: str, page: str = "1000") -> None:
    if note := os.environ.get("PID_FILE"):
        Path(note).write_text(str(os.getpid()))
    world = World(page=int(page))
    asyncio.run(stdio(world) if where == "stdio" else http(world, int(where)))


if __name__ == "__main__":
    main(*sys.argv[1:])
