"""The Python runtime of ElizaOS acts as its model writes it: in JSON and XML, beside a reply, by any name."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from adapters.spi import Result, Upstream
from examples.scripted_model.server import Message, ScriptedModel
from tests.e2e.sidekick.conftest import MODEL_KEY, Room

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
DONE = "<response><thought>done</thought><actions>REPLY</actions><text>done</text></response>"


class Told(ScriptedModel):
    """Says what it is told to, one after the other, then that it is done."""

    def __init__(self) -> None:
        super().__init__()
        self.next: list[str] = []

    def decide(self, request: Message) -> tuple[str, Message | None]:
        return (self.next.pop(0) if self.next else DONE), None

    @property
    def prompts(self) -> list[str]:
        return [str(body["messages"][0]["content"]) for body in self.bodies]


@pytest.fixture(scope="module")
async def told(room: Room) -> AsyncIterator[Told]:
    async with Told().serving() as model:
        options = {**room.options, "frameworks": ["elizaos-python"]}
        await room.box.add(Upstream("told", "sidekick", model.url, MODEL_KEY, options=options))
        assert isinstance(model, Told)
        yield model
        await room.box.remove("told")


async def ask(room: Room, told: Told, *answers: str, **arguments: Any) -> Result:
    told.next = list(answers)
    told.bodies.clear()
    (tool,) = [t.name for t in room.box.tools("told") if t.address.native == "elizaos-python"]
    return await room.result(room.call(tool, "please", arguments=arguments))


def acting(actions: str, params: str, text: str = "") -> str:
    said = f"<thought>act</thought><actions>{actions}</actions><params>{params}</params><text>{text}</text>"
    return f"<response>{said}</response>"


async def test_arguments_keep_their_types(room: Room, told: Told) -> None:
    json = acting("ALL__ADD", '{"ALL__ADD": {"a": 2, "b": 40}}')
    result = await ask(room, told, json)
    assert result.text == "done"
    assert '1. all__add (done): {"sum":42' in told.prompts[-1]


async def test_arguments_in_xml_have_the_types_of_the_schema(room: Room, told: Told) -> None:
    xml = acting("all__add", "<ALL__ADD><a>2</a><b>40</b></ALL__ADD>")
    texts = acting("all__echo", "<all__echo><text>40</text></all__echo>")
    await ask(room, told, xml, texts)
    assert '1. all__add (done): {"sum":42' in told.prompts[-1]
    assert "2. all__echo (done): 40" in told.prompts[-1]


async def test_several_actions_in_one_message_beside_a_reply(room: Room, told: Told) -> None:
    params = '{"ALL__ADD": {"a": 1, "b": 2}, "ALL__ECHO": {"text": "rain"}}'
    result = await ask(room, told, acting("REPLY, ALL__ADD, ALL__ECHO", params, "I will look."))
    assert result.text == "done"
    assert isinstance(result.structured, dict)
    assert result.structured["toolsUsed"] == ["all__add", "all__echo"]
    assert len(told.prompts) == 2, "the reply beside them is not asked for again"


async def test_an_action_that_is_not_there_is_told_to_the_model(room: Room, told: Told) -> None:
    result = await ask(room, told, acting("FLY_AWAY", "", "Off I go."))
    assert result.text == "done"
    assert "1. FLY_AWAY (failed): Error: there is no action 'FLY_AWAY'" in told.prompts[-1]


async def test_arguments_that_do_not_fit_are_told_to_the_model(room: Room, told: Told) -> None:
    await ask(room, told, acting("ALL__ADD", '{"ALL__ADD": {"a": "two"}}'), acting("ALL__ADD", ""))
    assert "1. all__add (failed): Error: " in told.prompts[-1]
    assert "2. all__add (failed): Error: " in told.prompts[-1]


async def test_it_may_choose_not_to_answer(room: Room, told: Told) -> None:
    told.next = ["<response><thought>no</thought><actions>IGNORE</actions><text></text></response>"]
    (tool,) = [t.name for t in room.box.tools("told") if t.address.native == "elizaos-python"]
    error = (await room.fault(room.call(tool, "please"))).error
    assert error.public == "'elizaos-python': the agent chose not to answer"


async def test_plain_words_are_an_answer(room: Room, told: Told) -> None:
    assert (await ask(room, told, "By George, 1 < 2 & so on!")).text == "By George, 1 < 2 & so on!"
