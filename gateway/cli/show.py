"""What commands print: tables for people, documents for programs."""

import sys
from collections.abc import Sequence
from typing import Any

import orjson

from gateway.cli.house import Place


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
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 160)
    made = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in names:
        made.add_column(name, overflow="fold" if name != "description" else "ellipsis", no_wrap=name == "description")
    for row in rows:
        made.add_row(*(_plain(cell) for cell in row))
    console.print(made)


def _plain(cell: str) -> Any:
    from rich.text import Text

    return Text("".join(c if c.isprintable() else " " for c in cell))
