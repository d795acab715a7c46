"""What commands print for people."""

import pytest
from rich.cells import cell_len

from gateway.cli.show import WIDTH, table

NAMES = ("agent", "name", "state", "description")


@pytest.mark.parametrize("length", [0, 10, 150, 5000])
def test_a_long_description_takes_no_room_from_the_rest(capsys: pytest.CaptureFixture[str], length: int) -> None:
    table(NAMES, [("ada-of-the-north", "Ada", "ok", "é" * length), ("b", "Ünïcode 機械", "degraded", "short")], "none")
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert len(lines) == 4, "a row is a line"
    assert all(cell_len(line) <= WIDTH for line in lines)
    assert lines[2].split()[:3] == ["ada-of-the-north", "Ada", "ok"]
    assert lines[3].split()[:4] == ["b", "Ünïcode", "機械", "degraded"]
    assert lines[2].endswith("é" * length if length <= 10 else "…")


def test_a_table_too_wide_for_its_names_keeps_every_letter(capsys: pytest.CaptureFixture[str]) -> None:
    table(NAMES, [("a" * 150, "b" * 100, "ok", "something " * 50)], "none")
    out = capsys.readouterr().out
    assert (out.count("a"), out.count("b")) >= (150, 100)


def test_nothing_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    table(NAMES, [], "There are no agents.")
    assert capsys.readouterr().out == "There are no agents.\n"
