"""`doolittle character show FILE` and `doolittle character export FILE`: what a character file says, and to whom."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import orjson

from adapters.character.persona import read
from adapters.errors import BadArguments
from adapters.spi import Door


class Parser(argparse.ArgumentParser):
    """Wrong words raise `BadArguments`."""

    def error(self, message: str) -> NoReturn:
        raise BadArguments(f"{message}; {' '.join(self.format_usage().split())}")


def _parser() -> Parser:
    parser = Parser(
        prog="doolittle character", allow_abbrev=False,
        description="show: what a model is told of a character. export: the same persona, for an ElizaOS server.",
    )  # fmt: skip
    parser.add_argument("what", choices=("show", "export"))
    parser.add_argument("file", type=Path, help="A character file of ElizaOS, of any version.")
    parser.add_argument("--json", action="store_true", help="show: the sentences as a list.")
    return parser


async def command(door: Door, args: Sequence[str]) -> int:
    """Raises `BadArguments`."""
    if "--help" in args or "-h" in args:
        sys.stdout.write(_parser().format_help())
        return 0
    said = _parser().parse_args(list(args))
    persona = read(said.file)
    if said.what == "show" and not said.json:
        sys.stdout.write(persona.told() + "\n")
        return 0
    shown = list(persona.sentences) if said.what == "show" else persona.for_server()
    sys.stdout.write(orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode() + "\n")
    return 0
