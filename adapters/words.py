"""The words after a command of an adapter's own, and what such a command prints."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

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


def line(text: str) -> None:
    sys.stdout.write(text + "\n")


def note(text: str) -> None:
    """What is said beside the answer."""
    sys.stderr.write(text + "\n")


def document(value: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n")
