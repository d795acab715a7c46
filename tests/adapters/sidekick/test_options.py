"""What the operator may say, what nobody else may, and what reaches a model."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.errors import BadArguments, Broken
from adapters.sidekick import translate
from adapters.spi import Address, Ask, Data, Error, File, Result, Text, Tool, Upstream
from gateway.testing import Box
from tests.adapters.sidekick.conftest import Scripted

URL = "http://127.0.0.1:9/v1"


async def added(box: Box, origin: Any = "file", **options: Any) -> str:
    """Why this upstream is refused; blank if it is not."""
    upstream = Upstream("other", "sidekick", URL, options={"model": "m", **options}, origin=origin)
    try:
        await box.add(upstream)
    except BadArguments as fault:
        return fault.public
    await box.remove("other")
    return ""


async def test_code_is_named_in_the_operators_file_only(box: Box, tmp_path: Path) -> None:
    agent = {"framework": "none", "load": "a:b", "folder": str(tmp_path)}
    for options in ({"paths": [str(tmp_path)]}, {"env": {"A": "b"}}, {"venvs": str(tmp_path)}, {"more": str(tmp_path)}):
        assert "it is set in the operator's file, and not over HTTP" in await added(box, "api", **options)
    own = {"agents": {"x": agent}, "paths": [str(tmp_path)]}
    assert "not over HTTP" in await added(box, "api", **own)
    assert await added(box, "api") == ""


async def test_paths_outside_are_refused(box: Box, tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    (inside / "link").symlink_to(outside)

    async def said(paths: list[str], **agent: str) -> str:
        return await added(box, agents={"x": {"framework": "none", **agent}}, paths=paths)

    for path in (outside, inside / ".." / "out", inside / "link" / "x.json", Path("/etc/passwd")):
        assert "is in none of 'paths'" in await said([str(inside)], file=str(path))
        assert "is in none of 'paths'" in await said([str(inside)], load="m:o", folder=str(path))
    assert "is not an absolute path" in await said(["in"], file=str(inside / "x"))
    assert "is in none of 'paths'" in await said([], file=str(inside / "x"))
    assert "either 'load' or 'file'" in await said([str(inside)])
    assert "either 'load' or 'file'" in await said([str(inside)], load="m:o", file=str(inside))
    assert "'load' needs 'folder'" in await said([str(inside)], load="m:o")
    assert "no framework is called 'none'" in await said([str(inside)], file=str(inside / "x"))


async def test_what_is_missing_is_said(box: Box) -> None:
    for upstream in (Upstream("o", "sidekick", URL), Upstream("o", "sidekick", "", options={"model": "m"})):
        with pytest.raises(BadArguments, match="needs 'url' of an OpenAI-compatible model"):
            await box.add(upstream)
    assert "extra" in (await added(box, colour="red")).lower()


async def test_names_are_not_taken_twice(scripted: Scripted, tmp_path: Path) -> None:
    own = {"framework": "scripted", "load": "a:b", "folder": str(tmp_path)}
    for name in ("talker", "sidekick"):
        with pytest.raises(BadArguments, match=f"cannot be called '{name}'"):
            await scripted.again(agents={name: own}, paths=[str(tmp_path)])
        await scripted.box.add(scripted.far.upstream)


async def test_what_is_not_installed_is_not_installed_against_the_operators_word(
    scripted: Scripted, tmp_path: Path
) -> None:
    await scripted.again(install=False, venvs=str(tmp_path / "v"))
    assert await scripted.said("say x") == (
        "refused: 'scripted' is not installed; install it with: doolittle sidekick install scripted"
    )
    assert not (tmp_path / "v").exists()


async def test_check_says_what_is_wrong(scripted: Scripted) -> None:
    report = await scripted.box.report(scripted.far.upstream)
    assert not report.ok
    assert report.text.startswith("the model is not reached: 'helpers' does not answer")
    assert report.facts["frameworks"] == ["scripted"]


# ---- what reaches a model ---------------------------------------------------------------------------------------

OWN = Tool("ask", name="me__ask", agent="me", address=Address("sidekick", "helpers", "me"))
NAMES = st.from_regex(r"[a-z]{1,5}__[a-z]{1,5}", fullmatch=True)


def _tool(name: str, upstream: str) -> Tool:
    return Tool("t", name=name, address=Address("sidekick", upstream, "x"))


TOOLS = st.lists(
    st.builds(
        _tool,
        NAMES,
        st.sampled_from(["helpers", "others"]),
    ),
    max_size=8,
)
GLOBS = st.lists(st.one_of(NAMES, st.sampled_from(["*", "a*", "*__b*"])), max_size=4).map(tuple)


@given(TOOLS, GLOBS)
def test_its_own_tools_are_offered_only_by_their_full_name(tools: list[Tool], globs: tuple[str, ...]) -> None:
    for one in translate.offered(tools, globs, OWN):
        assert one in tools
        assert one.address.upstream == "others" or one.name in globs


@given(st.text(min_size=4), st.text(), st.text())
def test_the_key_is_in_no_text(secret: str, before: str, after: str) -> None:
    said = translate.hidden(f"{before}{secret}{after}", secret)
    assert secret not in said or secret in "***"


def test_what_tools_answer_becomes_text() -> None:
    file = File("image/png", b"x", name="dot.png")
    many = Result((Text("a"), Data([1]), file, File("text/html", uri="https://example.org/")), {"b": 1})
    assert translate.answered(many, "t")["text"] == (
        "a\n[1]\n[dot.png, image/png: not shown]\n[file, text/html: https://example.org/]"
    )
    assert translate.answered(Result((), {"b": 1}), "t") == {"text": '{"b":1}', "ok": True}
    assert translate.answered(Result((Text("x" * 200_000),)), "t")["text"].endswith("[100000 more characters]")
    assert translate.answered(Error(Broken("no")), "t") == {"text": "Error: no", "ok": False}
    assert not translate.answered(Ask(()), "t")["ok"]


def test_an_unknown_stop_is_done_and_a_strange_question_is_broken() -> None:
    structured: Any = translate.result({"text": "x", "stop": "odd"}, "f", ["a", "b", "a"], scored=False).structured
    assert (structured["stopReason"], structured["toolsUsed"], structured["toolCalls"]) == ("done", ["a", "b"], 3)
    for items in (None, [], "x"):
        with pytest.raises(Broken):
            translate.question(items, None)
    assert translate.context({"context": {"a": 1}}) == {"a": 1}
    assert replace(OWN).pin == OWN.pin
