"""The words after a command of this adapter's, and what they print."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NoReturn
from urllib.parse import quote

import orjson

from adapters.errors import BadArguments

Said = argparse.Namespace


class Parser(argparse.ArgumentParser):
    """Wrong words raise `BadArguments`; it never ends the process."""

    def __init__(self, command: str, says: str) -> None:
        super().__init__(prog=f"doolittle {command}", description=says, add_help=False, allow_abbrev=False)
        self.add_argument("--help", action="store_true", help="Show this.")

    def read(self, args: Sequence[str]) -> Said | None:
        """The words; None if help was asked for, and shown."""
        if "--help" in args or "-h" in args:
            sys.stdout.write(self.format_help())
            return None
        return self.parse_args(list(args))

    def error(self, message: str) -> NoReturn:
        usage = " ".join(self.format_usage().split())
        raise BadArguments(f"{message}; {usage}")


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


def line(text: str) -> None:
    sys.stdout.write(text + "\n")


def note(text: str) -> None:
    """What is said beside the answer."""
    sys.stderr.write(text + "\n")


def document(value: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n")
