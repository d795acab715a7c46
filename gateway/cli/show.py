"""What commands print: tables for people, documents for programs."""

import sys
from collections.abc import Sequence
from typing import Any

import orjson

from gateway.cli.house import Place

WIDTH = 160
"""Of a table that no terminal shows."""
LONG = "description"
"""The column that is cut to one line, so that all others are whole."""


def document(value: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode() + "\n")


def say(text: str, place: Place, otherwise: Any) -> None:
    """A fault: a sentence on standard error, or a document."""
    if place.as_json:
        document(otherwise)
    else:
        sys.stderr.write(f"doolittle: {text}\n")


def line(text: str) -> None:
    sys.stdout.write(text + "\n")


def table(names: Sequence[str], rows: Sequence[Sequence[str]], empty: str) -> None:
    """A table, or a sentence where there is nothing to show."""
    if not rows:
        line(empty)
        return
    from rich.box import SIMPLE_HEAD
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    made = Table(box=SIMPLE_HEAD, pad_edge=False)
    taken = [max(map(cell_len, column)) for column in zip(names, *rows, strict=True)]
    long = names.index(LONG) if LONG in names else None
    room = console.width - sum(wide + 3 for place, wide in enumerate(taken) if place != long) - 2
    for name in names:
        made.add_column(name, overflow="fold")
    for row in rows:
        made.add_row(*(_plain(cell, max(room, 20) if place == long else None) for place, cell in enumerate(row)))
    console.print(made)


def _plain(cell: str, most: int | None) -> Any:
    from rich.text import Text

    made = Text("".join(c if c.isprintable() else " " for c in cell))
    if most is not None:
        made.truncate(most, overflow="ellipsis")
    return made
