"""Rooms with several people: who said what, a relationship with each, and nobody's private room told to another."""

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx2
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.character.memory import Person, identity
from adapters.character.people import People
from adapters.spi import Call, Caller, Speech, State
from adapters.talk import speech
from tests.adapters.character.conftest import BOB, EVE, Room

WHO = "who are you?"
BOT = Caller("bot", network="test")


async def hear(room: Room, name: str, message: str, place: str, **more: Any) -> str:
    """One of the people for whom the bot speaks."""
    said = await room.say(message, more.pop("caller", BOT), conversation=place, **{"from": name}, **more)
    await room.settled()
    return said


async def test_who_said_what_is_known_in_the_room(room: Room) -> None:
    await room.add(engine="keeper")
    await hear(room, "Ann", "say my boat is red.", "club")
    told = await hear(room, "Ben", WHO, "club")
    assert "They are called Ben here." in told
    assert "What you answer is heard by Ann too." in told
    history = [r.call.arguments["history"] for r in room.box.gateway.calls._by_id.values() if r.call.parent]
    assert {"role": "user", "text": "Ann: say my boat is red."} in history[-1]
    assert "boat" not in told.partition("# About the person")[2], "of Ben it is not known"


async def test_each_has_a_relationship_of_their_own_over_a_restart(room: Room) -> None:
    await room.add()
    await hear(room, "Ann", "say my boat is red. My name is Anna.", "club")
    await hear(room, "Ben", "say my dog is old.", "club")
    await room.box.restart()
    ann = await hear(room, "Ann", WHO, "ann alone")
    assert "- say my boat is red." in ann
    assert "Their name is Anna." in ann
    assert "Ben said: say my dog is old." in ann, "she was there"
    assert "- say my dog" not in ann
    ben = await hear(room, "Ben", WHO, "ben alone")
    assert "- say my dog is old." in ben
    assert "Their name is Anna" not in ben


async def test_what_was_said_in_private_is_not_told_where_others_hear(room: Room) -> None:
    await room.add()
    await hear(room, "Ann", "say my safe is blue. My name is Anna. I like engines.", "private")
    told = await hear(room, "Ann", WHO, "club", among=["Ben"])
    for secret in ("safe", "Anna.", "engines.", "You have known them"):
        assert secret not in told.partition("# About the person")[2]
    await hear(room, "Ben", "say hello", "club")
    for name, place in (("Ann", "club"), ("Ben", "club"), ("Ben", "other"), ("Carol", "private two")):
        assert "safe" not in await hear(room, name, WHO, place)
    assert "safe" in await hear(room, "Ann", WHO, "private again")


async def test_what_all_who_hear_were_told_is_recalled_with_them(room: Room) -> None:
    await room.add()
    await hear(room, "Ann", "say my boat is red.", "club")
    await hear(room, "Ben", "say good day", "club")
    again = await hear(room, "Ann", WHO, "pub", among=["Ben"])
    assert "- say my boat is red." in again
    assert "Ben said: say good day" in again
    assert "boat" not in (await hear(room, "Ann", WHO, "inn", among=["Ben", "Carol"])).partition("# About")[2]


async def test_a_name_makes_nobody_of_another_caller(room: Room) -> None:
    """Whoever claims to be Bob, or Ann of the bot's, is a stranger of that caller's."""
    await room.add()
    await room.say("say my safe is blue.", BOB, conversation="a")
    await hear(room, "Ann", "say my boat is red.", "club")
    await room.settled()
    for caller, name in ((EVE, "bob"), (EVE, "Ann"), (BOT, "bob"), (EVE, identity("bot", "Ann"))):
        for place in ("a", "club"):
            told = await room.say(WHO, caller, conversation=place, **{"from": name})
            assert "safe" not in told
            assert "boat" not in told
    assert "boat" not in await room.say(WHO, Caller(identity("bot", "Ann")), conversation="club")
    assert "boat" not in await room.say(WHO, Caller("bot/agent"), conversation="club", **{"from": "Ann"})


async def test_one_person_of_a_caller_is_forgotten_and_the_others_stay(room: Room) -> None:
    await room.add()
    await hear(room, "Ann", "say my boat is red.", "club")
    await hear(room, "Ben", "say my dog is old.", "club")
    assert (await room.outbound.forget("bot", "Ann")).text == "forgotten"
    assert "boat" not in await hear(room, "Ben", WHO, "club")
    assert "boat" not in await hear(room, "Ann", WHO, "club")
    assert "- say my dog is old." in await hear(room, "Ben", WHO, "ben alone")
    keys = [key for key, _ in await room.outbound._people._state.items()]
    assert not any("Ann" in key or "Ben" in key for key in keys), "no name stands in clear"
    await room.outbound.forget("bot")
    assert room.outbound._people.all() == ()


async def test_the_network_may_say_who_speaks(room: Room) -> None:
    await room.add()
    call = Call("spoken", "ada__ask", {"message": WHO, "conversation": "t"}, BOT, speech=Speech("Ann", ("Ben",)))
    last: Any = await room.last(call)
    assert "They are called Ann here." in last.text
    assert "heard by Ben too" in last.text


async def test_two_people_in_a_thread_of_coral_and_in_a_context_of_a2a(room: Room) -> None:
    await room.add(engine="keeper")
    async with httpx2.AsyncClient(base_url=await room.box.serve(), trust_env=False) as client:

        async def coral(sender: str, text: str) -> str:
            said = {"session": "s", "thread": "t", "text": text, "sender": sender, "among": ["carol"]}
            return str((await client.post("/coral/agents/ada/mentions", json=said)).json()["text"])

        async def a2a(sender: str, text: str) -> str:
            message = {"messageId": f"{sender}{text}", "role": "ROLE_USER", "parts": [{"text": text}], "contextId": "c"}
            params = {"message": {**message, "metadata": {"from": sender}}}
            body = {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": params}
            return (await client.post("/a2a/ada", json=body, headers={"a2a-version": "1.0"})).text

        for say, first, second in ((coral, "Ann", "Ben"), (a2a, "Dora", "Emil")):
            await say(first, f"say {first} has a boat")
            told = await say(second, WHO)
            assert f"They are called {second} here." in told
            assert first in told.partition("is heard by ")[2].partition(" too.")[0]
            asked = [r.call.arguments for r in room.box.gateway.calls._by_id.values() if r.call.parent]
            assert {"role": "user", "text": f"{first}: say {first} has a boat"} in asked[-1]["history"]


# ---- whatever people do -----------------------------------------------------------------------------------------


class Nowhere:
    """A store and a seal that keep nothing."""

    async def items(self) -> list[tuple[str, bytes]]:
        return []

    async def get(self, key: str) -> bytes | None:
        return None

    async def put(self, key: str, value: bytes) -> None: ...

    async def delete(self, key: str) -> None: ...

    async def write(self, changes: Mapping[str, bytes | None]) -> None: ...

    def state(self, namespace: str) -> State:
        return self

    def seal(self, plain: bytes) -> bytes:
        return plain


names = st.sampled_from(["", "a", "b", "c", 'x","y'])
callers = st.sampled_from(["k1", "k2", "k1/ada", '["k1","a"]', "n:a"])
turns = st.tuples(callers, names, st.sampled_from(["r1", "r2", "r3"]), st.lists(names, max_size=2))


@settings(max_examples=300, deadline=None)
@given(st.lists(turns, min_size=1, max_size=14))
def test_nothing_is_told_where_somebody_hears_who_was_not_there(said: list[tuple[str, str, str, list[str]]]) -> None:
    """Each turn says a secret of its own. What is told in a later turn, by any way, was said in that room, or in one in
    which all who hear it now had been."""
    host: Any = Nowhere()
    people = asyncio.run(made(host))
    ever: dict[tuple[str, str], set[str]] = {}
    secrets: list[tuple[str, str, str]] = []
    for number, (caller, name, place, among) in enumerate(said):
        heard = {name, *filter(None, among)}
        there = ever.setdefault((caller, place), set())
        there |= heard
        room = people.enter(Caller(caller), speech(name, among), place)
        lines = [*room.history(200), *room.recall("secret", 200)]
        facts = room.about().facts
        for n, (owner, whose, where) in enumerate(secrets):
            told = any(f"s{n}x" in line.text for line in lines) or any(f"s{n}x" in fact for fact in facts)
            assert not told or owner == caller
            assert not told or where == place or there <= ever[owner, where]
            if owner == caller and whose == name and there <= ever[owner, where]:
                assert any(f"s{n}x" in line.text for line in lines), "and what may be told is"
        room.person.hear(f"secret s{number}x", "yes", place)
        room.person.learn(f"fact s{number}x", place)
        secrets.append((caller, name, place))


async def made(host: Any) -> People:
    return People(host, 1000)


@given(st.text(), st.text(), st.text(), st.text())
def test_no_two_people_have_one_id(caller: str, by: str, other: str, another: str) -> None:
    assert (identity(caller, by) == identity(other, another)) == ((caller, by) == (other, another))


@given(st.text(), st.lists(st.text()))
def test_a_person_is_the_same_after_it_was_kept(name: str, facts: list[str]) -> None:
    person = Person("p", caller="p", speaker=name)
    for fact in facts:
        person.learn(fact, "r")
    person.enter("r", ["m"])
    person.hear("a", "b", "r")
    assert Person.of(person.packed()) == person
