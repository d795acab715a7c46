"""The words by which commands of this adapter choose tools."""

from urllib.parse import quote

from adapters.words import Parser, Said, document, line, note

__all__ = ["Parser", "Said", "chosen", "document", "line", "note", "path", "which_tools"]


def which_tools(parser: Parser) -> None:
    """The options that choose the tools which a client sees."""
    one = parser.add_mutually_exclusive_group()
    one.add_argument("--agent", default="", metavar="SLUG", help="The tools of this agent.")
    one.add_argument("--view", default="", metavar="NAME", help="The tools of this view.")
    one.add_argument("--all", action="store_true", help="The whole list of tools.")


def path(said: Said) -> str:
    """The gateway's path for that choice."""
    if said.agent:
        return f"/mcp/agents/{quote(said.agent, safe='')}"
    if said.view:
        return f"/mcp/views/{quote(said.view, safe='')}"
    return "/mcp/all" if said.all else "/mcp"


def chosen(said: Said) -> list[str]:
    """The same choice, as words for `doolittle mcp-stdio`."""
    pairs = [["--agent", said.agent] if said.agent else [], ["--view", said.view] if said.view else []]
    return [word for pair in pairs for word in pair] + (["--all"] if said.all else [])
