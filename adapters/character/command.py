"""`doolittle character show FILE` and `doolittle character export FILE`: what a character file says, and to whom."""

from collections.abc import Sequence
from pathlib import Path

from adapters.character.persona import read
from adapters.spi import Door
from adapters.words import Parser, document, line


def _parser() -> Parser:
    parser = Parser(
        "character", "show: what a model is told of a character. export: the same persona, for an ElizaOS server."
    )
    parser.add_argument("what", choices=("show", "export"))
    parser.add_argument("file", type=Path, help="A character file of ElizaOS, of any version.")
    parser.add_argument("--json", action="store_true", help="show: the sentences as a list.")
    return parser


async def command(door: Door, args: Sequence[str]) -> int:
    """Raises `BadArguments`."""
    said = _parser().read(args)
    if said is None:
        return 0
    persona = read(said.file)
    if said.what == "show" and not said.json:
        line(persona.told())
    else:
        document(list(persona.sentences) if said.what == "show" else persona.for_server())
    return 0
