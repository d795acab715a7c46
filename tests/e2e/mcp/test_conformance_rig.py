"""How `make conformance` judges: what nobody expected, and what is expected in vain, are both failures."""

import json
from pathlib import Path

import pytest

from tests.e2e.mcp.conformance import expected, suite
from tests.e2e.mcp.conformance.expected import Expected, judge
from tests.e2e.mcp.conformance.suite import CLIENTS, SERVER, Check

GOOD, BAD = Check("tools", "list", True), Check("tools", "call:Call", False, "no such tool")
KNOWN = Expected("0.2 *", "tools/call:*", "gateway", "not there yet")


def test_verdicts() -> None:
    fine = judge("0.2 server", "gateway", [GOOD], [])
    assert (fine.ok, fine.passed) == (True, 1)
    assert not judge("0.2 server", "gateway", [], []).ok, "nothing is not a success"
    assert judge("0.2 server", "gateway", [GOOD, BAD], []).unexpected == (BAD,)
    listed = judge("0.2 server", "gateway", [GOOD, BAD], [KNOWN])
    assert listed.ok
    assert listed.known == (BAD,)
    assert judge("0.2 server", "direct", [GOOD, BAD], [KNOWN]).unexpected == (BAD,), "known through the gateway only"
    assert judge("0.1 server", "gateway", [GOOD, BAD], [KNOWN]).unexpected == (BAD,), "known of another suite"
    mended = judge("0.2 server", "gateway", [GOOD, Check("tools", "call:Call", True)], [KNOWN])
    assert mended.stale == (KNOWN,)
    assert not mended.ok


def test_each_expected_failure_says_why(tmp_path: Path) -> None:
    names = [s.name for s in SERVER] + [s.name for s, _ in CLIENTS]
    for entry in expected.load():
        scenario, _, check = entry.check.partition("/")
        assert any(entry.covers(name, entry.through, Check(scenario, check, False)) for name in names)
    path = tmp_path / "expected.toml"
    path.write_text('[[failure]]\nsuite = "*"\ncheck = "*"\nthrough = "gateway"\nreason = " "\n')
    with pytest.raises(ValueError, match="nobody says why"):
        expected.load(path)


def test_what_a_suite_wrote_down(tmp_path: Path) -> None:
    folder = tmp_path / "server-tools-list-2026-11-26T09-21-10-535Z"
    folder.mkdir()
    said = [
        ("a", "A", "SUCCESS"),
        ("a", "A", "FAILURE"),
        ("b", "b", "WARNING"),
        ("c", "c", "INFO"),
        ("d", "d", "SKIPPED"),
    ]
    checks = [{"id": i, "name": n, "status": s, "errorMessage": "why", "details": {"x": 1}} for i, n, s in said]
    (folder / "checks.json").write_text(json.dumps(checks))
    found = suite.collected(tmp_path)
    assert [(c.key, c.ok) for c in found] == [
        ("tools-list/a:A", True),
        ("tools-list/a:A#2", False),
        ("tools-list/b", False),
    ]
    assert found[1].message == 'FAILURE: why {"x": 1}'
