"""`doolittle mcp-stdio`: the tools over standard input and output, for clients that start a command."""

from collections.abc import Sequence
from typing import Any

from adapters.errors import BadArguments
from adapters.spi import Caller, Door


async def command(door: Door, args: Sequence[str]) -> int:
    """Serves until the client closes its end. `--agent SLUG` narrows the view. Raises `BadArguments`."""
    agent: str | None = None
    match list(args):
        case []:
            pass
        case ["--agent", slug]:
            agent = slug
        case _:
            raise BadArguments("usage: doolittle mcp-stdio [--agent SLUG]")

    def who(_ctx: Any) -> tuple[Caller, str | None]:
        return door.caller, agent

    from mcp.server.stdio import stdio_server

    from adapters.mcp.server import ToolServer

    server = ToolServer(door.invoke, door.catalog, who).server
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())
    return 0
