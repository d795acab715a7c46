"""What the harness takes for models: any agent of the gateway, a replay without one, and the users."""

import asyncio
import json
import time
from decimal import Decimal
from typing import Any

import httpx2
from door import Door, Wanted
from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageTool,
    ChatMessageUser,
    GenerateConfig,
    ModelAPI,
    ModelOutput,
)
from inspect_ai.solver._task_state import sample_state
from inspect_ai.tool import ToolCall, ToolChoice, ToolInfo
from lines import Lines
from script import HELP, MUTE, STOP, Script, known, named

GATHER = 0.01
"""Seconds in which further calls of the same step may come."""


class Counting(ModelAPI):
    """Counts tokens by letters: what counts them well would be downloaded."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.faults: dict[str, list[str]] = {}

    async def count_tokens(self, input: Any, config: GenerateConfig | None = None) -> int:
        return len(str(input)) // 4

    def fault(self, text: str) -> None:
        self.faults.setdefault(sample(), []).append(text)


def sample() -> str:
    """Which sample of which epoch runs."""
    state = sample_state()
    return f"{state.sample_id}/{state.epoch}" if state else ""


def said(name: str, text: str) -> ModelOutput:
    return ModelOutput.from_content(name, text)


def called(name: str, calls: list[ToolCall]) -> ModelOutput:
    message = ChatMessageAssistant(content="", tool_calls=calls, model=name, source="generate")
    return ModelOutput(model=name, choices=[ChatCompletionChoice(message=message, stop_reason="tool_calls")])


class Talk:
    """One sample's run of the agent: what it takes, and what is parked. `tokens`: of prompts and of what was written,
    for each answer that told them; `untold`: answers that did not; `paid`: by asset, what calls cost."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.calls = 0
        self.turns = 0
        self.paid: dict[str, Decimal] = {}
        self.tokens: list[tuple[int, int]] = []
        self.untold = 0
        self.parked: dict[str, Wanted] = {}
        self.turn: asyncio.Task[str] | None = None
        self.began = time.monotonic()
        self.seconds = 0.0


class Agent(Counting):
    """The agent under test. `generate` hands it the turn; what it calls comes back as the model's tool calls."""

    def __init__(self, order: dict[str, Any], lines: Lines, door: Door) -> None:
        super().__init__(order["agent"]["tool"])
        self._of = order["agent"]
        self._lines = lines
        self._door = door
        self._offered = ""
        self._names: dict[str, str] = {}
        self.talks: dict[str, Talk] = {}
        headers = {"authorization": f"Bearer {self._of['key']}", "content-type": "application/json"}
        self._http = httpx2.AsyncClient(base_url=self._of["url"], headers=headers, timeout=None, trust_env=False)

    async def aclose(self) -> None:
        await self._http.aclose()

    async def generate(
        self, input: list[ChatMessage], tools: list[ToolInfo], tool_choice: ToolChoice, config: GenerateConfig
    ) -> ModelOutput:
        await self._offer(tools)
        talk = self.talks.get(sample()) or await self._begun()
        began = time.monotonic()
        try:
            return await self._step(talk, input)
        except Exception as fault:
            self.fault(f"{type(fault).__name__}: {fault}")
            return said(self.model_name, "[the agent failed]")
        finally:
            talk.seconds += time.monotonic() - began

    async def _begun(self) -> Talk:
        """What the agent knows of the one before is forgotten first, if it is an agent that remembers."""
        talk = self.talks[sample()] = Talk(f"{self._of['session']}-{sample().replace('/', '-')}")
        self._lines.say({"type": "sample"})
        await self._lines.read()
        return talk

    async def _offer(self, tools: list[ToolInfo]) -> None:
        """The tools stand in the gateway, for this session alone, before the agent hears of its task."""
        found = [{"name": t.name, "description": t.description, "schema": _schema(t)} for t in tools]
        if (text := json.dumps(found, sort_keys=True)) != self._offered:
            self._offered, self._door.tools = text, found
            self._lines.say({"type": "tools", "count": len(found), "url": self._door.url, "token": self._door.token})
            await self._lines.read()
            listed = await self._http.get("/v1/tools", params={"agent": self._of["session"]})
            self._names = {one["title"]: one["name"] for one in listed.json()}

    async def _step(self, talk: Talk, input: list[ChatMessage]) -> ModelOutput:
        if talk.turn is None:
            talk.turns += 1
            pieces = _pieces(input, self._of["longest"]) if talk.turns == 1 else [_new(input)]
            talk.turn = asyncio.ensure_future(self._tell(talk, [named(text, self._names) for text in pieces]))
            self._door.open_for_calls = True
        else:
            for message in reversed(input):
                if not isinstance(message, ChatMessageTool):
                    break
                if (wanted := talk.parked.pop(message.tool_call_id or "", None)) and not wanted.done.done():
                    wanted.done.set_result(_answer(message))
        return await self._next(talk)

    async def _next(self, talk: Talk) -> ModelOutput:
        """The calls that come next, or what the agent says in the end."""
        assert talk.turn
        first = asyncio.ensure_future(self._door.wanted.get())
        await asyncio.wait({first, talk.turn}, return_when=asyncio.FIRST_COMPLETED)
        if not first.done():
            first.cancel()
            turn, talk.turn = talk.turn, None
            self._door.open_for_calls = False
            for wanted in talk.parked.values():
                wanted.done.cancel()
            talk.parked.clear()
            return said(self.model_name, await turn)
        wanted = [first.result()]
        while True:
            try:
                wanted.append(await asyncio.wait_for(self._door.wanted.get(), GATHER))
            except TimeoutError:
                break
        talk.calls += len(wanted)
        talk.parked |= {one.id: one for one in wanted}
        return called(self.model_name, [ToolCall(id=w.id, function=w.name, arguments=w.arguments) for w in wanted])

    async def _tell(self, talk: Talk, pieces: list[str]) -> str:
        """Piece by piece; what the agent says to the last of them."""
        for text in pieces[:-1]:
            await self._ask(talk, text)
        return await self._ask(talk, pieces[-1])

    async def _ask(self, talk: Talk, text: str) -> str:
        """One call of the agent's tool through the gateway. Raises what went wrong, as a text without secrets."""
        body = {"arguments": {self._of["field"]: text, **self._of["arguments"]}, "conversation": talk.name}
        body["timeout"] = self._of["timeout"]
        response = await self._http.post(f"/v1/tools/{self._of['tool']}/calls", content=json.dumps(body))
        document = response.json()
        if response.status_code >= 400:
            raise RuntimeError(f"{document.get('code')}: {document.get('detail')}")
        if (result := document.get("result")) is None:
            raise RuntimeError("the agent asks a question, and nobody is here to answer it")
        self._count(talk, result)
        return result["text"] or json.dumps(result.get("structured"))

    def _count(self, talk: Talk, result: dict[str, Any]) -> None:
        if cost := result.get("cost"):
            talk.paid[cost["asset"]] = talk.paid.get(cost["asset"], Decimal(0)) + Decimal(cost["amount"])
        if usage := result.get("usage"):
            written = usage.get("completion_tokens", 0)
            talk.tokens.append((usage["total_tokens"] - written, written))
        else:
            talk.untold += 1


def _schema(tool: ToolInfo) -> dict[str, Any]:
    return tool.parameters.model_dump(mode="json", exclude_none=True, by_alias=True)


def _pieces(input: list[ChatMessage], longest: int) -> list[str]:
    """The first turn: the policy too. An agent that takes no text so long gets the policy ahead, in parts."""
    policy = "\n\n".join(m.text.strip() for m in input if m.role == "system")
    whole = f"{policy}\n\n{_new(input)}"
    if not longest or len(whole) <= longest:
        return [whole]
    room = longest - 100
    parts = [policy[at : at + room] for at in range(0, len(policy), room)]
    head = "Part {} of {} of the rules that you work by. Keep to them from now on.\n\n"
    return [*(head.format(n, len(parts)) + part for n, part in enumerate(parts, 1)), _new(input)]


def _new(input: list[ChatMessage]) -> str:
    """What the user said since the agent spoke; it remembers the rest by the conversation."""
    new: list[str] = []
    for message in reversed(input):
        if not isinstance(message, ChatMessageUser):
            break
        new.insert(0, message.text)
    return "\n\n".join(new)


def _answer(message: ChatMessageTool) -> dict[str, Any]:
    if message.error is not None:
        return {"text": f"Error: {message.error.message}", "ok": False}
    return {"text": message.text, "ok": True}


class Replay(Counting):
    """The harness driven directly: what the user says to do is done, without any agent or gateway."""

    def __init__(self, words: str) -> None:
        super().__init__(f"direct-{words}")
        self.talks: dict[str, Talk] = {}

    async def generate(
        self, input: list[ChatMessage], tools: list[ToolInfo], tool_choice: ToolChoice, config: GenerateConfig
    ) -> ModelOutput:
        talk = self.talks.setdefault(sample(), Talk("direct"))
        last = max(n for n, m in enumerate(input) if m.role == "user")
        script = Script.read(input[last].text)
        done = sum(1 for m in input[last:] if m.role == "tool")
        if done < len(script.uses):
            talk.calls += 1
            name, arguments = script.uses[done]
            function = known(name, [tool.name for tool in tools])
            return called(self.model_name, [ToolCall(id=f"r{talk.calls}", function=function, arguments=arguments)])
        talk.turns += 1
        return said(self.model_name, script.say or "I do nothing.")


class ScriptedUser(Counting):
    """A user without a model. "nothing": asks for help, and leaves; "mute": so that scripted models are silent.
    "gold": tells the agent word by word which actions the task's own solution has, does those that are the user's, and
    leaves."""

    def __init__(self, order: dict[str, Any], agent: Counting) -> None:
        super().__init__("scripted")
        self._words = order["words"]
        self._agent = agent

    async def generate(
        self, input: list[ChatMessage], tools: list[ToolInfo], tool_choice: ToolChoice, config: GenerateConfig
    ) -> ModelOutput:
        mine = [m for m in input if m.role == "assistant"]
        if self._agent.faults.get(sample()):
            return said(self.model_name, STOP)
        if self._words != "gold":
            return said(self.model_name, STOP if mine else {"mute": MUTE}.get(self._words, HELP))
        state = sample_state()
        steps = Script.steps(state.metadata) if state else []
        if len(mine) >= len(steps):
            return said(self.model_name, STOP)
        step = steps[len(mine)]
        if isinstance(step, str):
            return said(self.model_name, step)
        function = known(step[0], [tool.name for tool in tools])
        return called(self.model_name, [ToolCall(id=f"u{len(mine)}", function=function, arguments=step[1])])


class OpenAIUser(Counting):
    """A user played by any OpenAI-compatible model."""

    def __init__(self, order: dict[str, Any], agent: Counting) -> None:
        super().__init__(order["user"]["model"])
        self._agent = agent
        headers = {"authorization": f"Bearer {order['user']['key']}"} if order["user"]["key"] else {}
        self._http = httpx2.AsyncClient(base_url=order["user"]["url"], headers=headers, timeout=120, trust_env=False)

    async def generate(
        self, input: list[ChatMessage], tools: list[ToolInfo], tool_choice: ToolChoice, config: GenerateConfig
    ) -> ModelOutput:
        if self._agent.faults.get(sample()):
            return said(self.model_name, STOP)
        try:
            return await self._answer(input, tools)
        except Exception as fault:
            self.fault(f"the user's model: {type(fault).__name__}: {fault}")
            return said(self.model_name, STOP)

    async def _answer(self, input: list[ChatMessage], tools: list[ToolInfo]) -> ModelOutput:
        body: dict[str, Any] = {"model": self.model_name, "temperature": 0, "messages": [_plain(m) for m in input]}
        if tools:
            body["tools"] = [
                {"type": "function",
                 "function": {"name": t.name, "description": t.description, "parameters": _schema(t)}} for t in tools
            ]  # fmt: skip
        response = await self._http.post("/chat/completions", json=body)
        if response.status_code >= 400:
            raise RuntimeError(f"it answered {response.status_code}")
        message = response.json()["choices"][0]["message"]
        if not message.get("tool_calls"):
            return said(self.model_name, message.get("content") or STOP)
        made = [(c["id"], c["function"]["name"], json.loads(c["function"]["arguments"])) for c in message["tool_calls"]]
        return called(self.model_name, [ToolCall(id=i, function=n, arguments=a) for i, n, a in made])


def _plain(message: ChatMessage) -> dict[str, Any]:
    """A message in the form of OpenAI's."""
    plain: dict[str, Any] = {"role": message.role, "content": message.text}
    if isinstance(message, ChatMessageTool):
        plain["tool_call_id"] = message.tool_call_id
    if isinstance(message, ChatMessageAssistant) and message.tool_calls:
        plain["tool_calls"] = [
            {"id": c.id, "type": "function", "function": {"name": c.function, "arguments": json.dumps(c.arguments)}}
            for c in message.tool_calls
        ]  # fmt: skip
    return plain
