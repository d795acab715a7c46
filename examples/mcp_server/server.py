"""A small MCP server with the official SDK: `doolittle add mcp words -- python examples/mcp_server/server.py`."""

from typing import Any

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from pydantic import BaseModel

server = MCPServer("words", instructions="Works on words.")


class Counted(BaseModel):
    """What `count` answers."""

    words: int
    letters: int


class Name(BaseModel):
    """What `greet` asks for."""

    name: str


@server.tool()
def count(text: str) -> Counted:
    """Counts the words and letters of a text."""
    return Counted(words=len(text.split()), letters=sum(letter.isalpha() for letter in text))


@server.tool()
async def spell(word: str, ctx: Context) -> str:
    """Spells a word, letter by letter."""
    for number, letter in enumerate(word, 1):
        await ctx.report_progress(number, len(word), letter)
    return "-".join(word.upper())


@server.tool()
async def greet(ctx: Context) -> str:
    """Asks for a name, and greets."""
    said: Any = await ctx.elicit("What is your name?", Name)
    return f"How do you do, {said.data.name}?" if said.action == "accept" else "How do you do?"


@server.resource("words://rain")
def rain() -> str:
    """A sentence to practise."""
    return "The rain in Spain stays mainly in the plain."


if __name__ == "__main__":
    server.run("stdio")
