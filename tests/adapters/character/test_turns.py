"""What an engine is told in a turn, what is remembered of whom, and what is not."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from adapters.character.persona import parse
from adapters.errors import BadArguments
from adapters.spi import Caller, Result, Upstream
from gateway.testing import Box
from tests.adapters.character.conftest import ADA, BOB, EVE, Room

WHO = "who are you?"


async def test_every_sentence_of_the_persona_reaches_the_engine_and_no_secret_does(room: Room) -> None:
    await room.add()
    told = await room.say(WHO)
    sentences = parse(ADA).sentences
    assert {s for s in sentences if s in told} == set(sentences)
    for words in ("Ada writes programs.", "She met Babbage", "engines, poetry", "exact, kind", "Someone: What is it?"):
        assert words in told
    assert "sk-not-for-anybody" not in told
    assert "plugin-sql" not in told
    assert "never seen" not in told
    assert "sk-not-for" not in str(room.box.tools("ada"))


async def test_it_is_remembered_over_a_restart_by_the_same_caller_and_by_no_other(room: Room) -> None:
    await room.add()
    await room.say("say my cat is called Minka. My name is Robert.", conversation="one")
    await room.say("say engines are fine", conversation="one")
    await room.settled()
    await room.box.restart()
    told = await room.say(WHO, conversation="two")
    assert "Their name is Robert." in told
    assert "spoken with them 2 times" in told
    assert "They spoke with you of: engines." in told
    assert "Minka" in told
    other = await room.say(WHO, EVE, conversation="two")
    assert "Minka" not in other
    assert "Robert" not in other
    assert "About the person" not in other


async def test_a_conversation_is_history_and_others_are_recalled(room: Room) -> None:
    await room.add()
    await room.say("talk red", conversation="a")
    assert await room.say("talk blue", conversation="a") == "red blue"
    assert await room.say("talk green", conversation="b") == "green", "another conversation begins without history"
    told = await room.say(WHO, conversation="c")
    assert "They said: talk red" in told
    assert await room.say("talk black", EVE, conversation="a") == "black"


async def test_what_fits_is_recalled_before_what_is_late(room: Room) -> None:
    await room.add(recall=2)
    await room.say("say the harbour burns at midnight", conversation="old")
    for n in range(20):
        await room.say(f"say nothing {n}", conversation=f"c{n}")
    told = await room.say("who knows the harbour?", conversation="new")
    assert "the harbour burns" in told
    assert "nothing 19" in told
    assert "nothing 7" not in told


async def test_what_is_kept_has_bounds(room: Room) -> None:
    await room.add(people=2)
    for name in ("one", "two", "three"):
        await room.say("say my dog is old.", Caller(name))
        await room.settled()
    assert [person.id for person in room.outbound._people.all()] == ["two", "three"]
    person = room.outbound._people.of(Caller("three"))
    for n in range(300):
        person.hear("x" * 5000, "y", f"r{n}")
        person.learn(f"fact {n}")
    assert len(person.said) == 200
    assert max(len(piece.text) for piece in person.said) == 2000
    assert len(person.facts) == 100
    assert person.facts[-1].text == "fact 299"
    await room.box.restart()
    assert [person.id for person in room.outbound._people.all()] == ["two", "three"]


async def test_the_store_holds_no_word_of_it_in_clear(room: Room) -> None:
    await room.add()
    await room.say("say my secret is a blue lamp.")
    await room.settled()
    await room.outbound._people.flush()
    kept = await room.outbound._people._state.items()
    assert [key for key, _ in kept] == ["bob"]
    assert b"blue lamp" not in kept[0][1]
    other = room.box.gateway._upstream_host(Upstream("other", "character"))
    await room.outbound._people._state.put("bob", other.seal(b"{}"))
    await room.box.restart()
    assert room.outbound._people.all() == (), "what another has sealed is nobody's memory"


async def test_a_turn_is_in_the_store_before_its_answer_is_given(room: Room) -> None:
    await room.add()
    people = room.outbound._people
    async for event in room.box.invoke(room.call("say my cat is called Minka.")):
        if isinstance(event, Result):
            assert not people._changed
            assert not people._writing.locked()
            assert people.all()[0].facts, "with what the character itself has learned of it"


PROVIDERS = """
import asyncio
calls = []
def weather(turn):
    return f"It rains on {turn.person.id} in {turn.room}."
async def tide(turn):
    await asyncio.sleep(0)
    return "The tide is low."
def broken(turn):
    raise ValueError("no sky")
async def late(turn):
    await asyncio.sleep(60)
def notes(turn):
    turn.person.learn(f"They heard: {turn.answer}")
    return ["They like " + turn.message.split()[-1]]
async def silent(turn):
    return None
"""


async def test_providers_tell_and_evaluators_learn(room: Room, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(PROVIDERS)
    names = ["own:weather", "own:tide", "own:broken", "own:late"]
    own: dict[str, Any] = {"providers": names, "evaluators": ["own:notes", "own:silent", "own:broken"]}
    await room.add(paths=[str(tmp_path)], patience=0.2, **own)
    told = await room.say(WHO, conversation="r1")
    assert "It rains on bob in r1." in told
    assert "The tide is low." in told
    assert "no sky" not in told
    await room.say("say tulips", conversation="r1")
    await room.settled()
    told = await room.say(WHO, conversation="r2")
    assert "- They heard: tulips" in told
    assert "- They like tulips" in told


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("own", "module:function"), ("../own:weather", "module:function"), ("other:weather", "no module 'other'"),
        ("own:sky", "no function 'sky'"), ("link:weather", "no module 'link'"), ("bad:weather", "cannot be loaded"),
    ],
)  # fmt: skip
async def test_functions_come_from_the_configured_folders_alone(
    room: Room, tmp_path: Path, name: str, said: str
) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    (inside / "own.py").write_text(PROVIDERS)
    (inside / "bad.py").write_text("1 / 0")
    (outside / "far.py").write_text(PROVIDERS)
    (inside / "link.py").symlink_to(outside / "far.py")
    with pytest.raises(BadArguments, match=said):
        await room.add(paths=[str(inside)], providers=[name])


async def test_a_character_comes_from_the_operator_alone(box: Box, tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    for upstream in (
        Upstream("a", "character", command=(str(file),), origin="api"),
        Upstream("a", "character", "http://127.0.0.1/a.json"),
        Upstream("a", "character"),
    ):
        with pytest.raises(BadArguments, match="file of the operator"):
            await box.add(upstream)
    for text, said in (("{", "not JSON"), ("[]", "no 'name'"), ('{"name": " "}', "no 'name'"), ("x" * 2**21, "1 MB")):
        file.write_text(text)
        with pytest.raises(BadArguments, match=said):
            await box.add(Upstream("a", "character", command=(str(file),)))
    with pytest.raises(BadArguments, match="cannot be read"):
        await box.add(Upstream("a", "character", command=(str(tmp_path / "none.json"),)))


async def test_a_character_without_an_engine_says_what_to_add(box: Box, tmp_path: Path) -> None:
    (tmp_path / "ada.json").write_text('{"name": "Ada"}')
    upstream = Upstream("ada", "character", command=(str(tmp_path / "ada.json"),))
    await box.add(upstream)
    report = await box.report(upstream)
    assert not report.ok
    assert "doolittle add sidekick" in report.text


async def test_tools_are_offered_as_configured(room: Room) -> None:
    await room.box.add(Upstream("w", "fake", "fake://character"))
    order = 'call [["all__echo", {"text": "hi"}]]'
    await room.add()
    assert "not offered" in await room.say(order)
    await room.box.remove("ada")
    await room.add(tools=["all__echo"])
    assert await room.say(order) == "hi"
    assert "not offered" in await room.say('call [["all__add", {"a": 1, "b": 2}]]')


async def test_turns_at_once_do_not_mix_people(room: Room) -> None:
    await room.add()
    callers = [Caller(f"p{n}") for n in range(12)]
    await asyncio.gather(*(room.say(f"say my number is {c.id}x.", c) for c in callers for _ in range(2)))
    await room.settled()
    told = await asyncio.gather(*(room.say(WHO, c) for c in callers))
    for caller, text in zip(callers, told, strict=True):
        assert [c.id for c in callers if f"number is {c.id}x" in text] == [caller.id]
    assert BOB.id not in {p.id for p in room.outbound._people.all()}
