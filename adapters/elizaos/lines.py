"""Between the lines of `elizaos-plugin-doolittle` (`plugin-ts/src/lines.ts`) and the contract. Pure."""

import json
import uuid
from collections.abc import Mapping
from typing import Any

import jsonschema_rs
import orjson

from adapters import hops
from adapters.elizaos import translate
from adapters.errors import BadArguments, Broken, GatewayError, Refused, TimedOut, TooLarge
from adapters.spi import Agent, Call, Event, Json, Part, Progress, Result, Text, Tool
from registry.model import schema

PROTOCOL = 1
LONGEST = 100_000
"""Characters of one message."""
KINDS = frozenset({"string", "number", "integer", "boolean", "object", "array"})
LIMITS: dict[str, Any] = {"enum": list, "items": dict, "minimum": int | float, "maximum": int | float}
SUMMARY = "MULTI_STEP_SUMMARY"
CONVERSATION: Json = {
    "type": "string", "minLength": 1, "maxLength": 256,
    "description": "A name of your choice, to be remembered by. Without one, it starts afresh.",
}  # fmt: skip
ASK = schema(
    {
        "type": "object",
        "properties": {
            "message": {"type": "string", "minLength": 1, "maxLength": LONGEST, "description": "What you say."},
            "conversation": CONVERSATION,
            "timeout": {"type": "number", "exclusiveMinimum": 0, "maximum": 3600, "description": "Seconds to wait."},
            "multi_step": {"type": "boolean", "description": "Whether the agent works in several steps, or in one."},
        },
        "required": ["message"],
        "additionalProperties": False,
    }
)  # fmt: skip
BESIDE: dict[str, Json] = {
    "message": {"type": "string", "maxLength": LONGEST, "description": "What the action reads, where it reads words."},
    "conversation": CONVERSATION,
}


# ---- the list ---------------------------------------------------------------------------------------------------


def agent(body: bytes, upstream: str) -> Agent:
    """The agent in an answer of `capabilities`, with its tool `ask` and the actions that it offers. Raises `Broken`."""
    said = translate.parse(body, upstream)
    character, id = said.get("character"), said.get("agentId")
    if said.get("protocol") != PROTOCOL or not isinstance(character, dict) or not isinstance(id, str):
        raise Broken(f"'{upstream}' has a plugin that speaks in another way; bring it and the gateway to one version")
    made = translate.described(character, id, upstream, ASK)
    actions = said.get("actions")
    offered = [_tool(a) for a in actions if isinstance(a, dict)] if isinstance(actions, list) else []
    return Agent(made.address, made.name, made.description, (*made.tools, *(t for t in offered if t is not None)))


def _tool(action: Mapping[str, Any]) -> Tool | None:
    name = action.get("name")
    if action.get("direct") is not True or not isinstance(name, str) or not name or name == "ask":
        return None
    return Tool(name, str(action.get("description") or ""), schema(arguments(action.get("parameters"))), title=name)


def arguments(parameters: Any) -> dict[str, Json]:
    """The schema of an action's arguments: of its `parameters`, which are a custom and no standard. An action without
    them reads the message alone."""
    if not isinstance(parameters, Mapping):
        parameters = {}
    if parameters.get("type") == "object" and isinstance(parameters.get("properties"), dict):
        whole = {**parameters, "properties": {**BESIDE, **parameters["properties"]}}
        return whole if jsonschema_rs.meta.is_valid(whole) else {"type": "object"}
    properties = {str(name): _property(one) for name, one in parameters.items()}
    needed = [str(n) for n, one in parameters.items() if isinstance(one, Mapping) and one.get("required") is True]
    made: dict[str, Json] = {"type": "object", "properties": {**BESIDE, **properties}, "additionalProperties": False}
    return {**made, "required": needed} if needed else made


def _property(one: Any) -> dict[str, Json]:
    if isinstance(one, str):
        return {"description": one}
    if not isinstance(one, Mapping):
        return {}
    kept = {key: one[key] for key, kind in LIMITS.items() if isinstance(one.get(key), kind)}
    if not jsonschema_rs.meta.is_valid(kept):
        kept = {}
    if isinstance(one.get("description"), str):
        kept["description"] = one["description"]
    if isinstance(one.get("type"), str) and one["type"] in KINDS:
        kept["type"] = one["type"]
    return kept


# ---- what is asked ----------------------------------------------------------------------------------------------


def asked(call: Call, tool: Tool) -> bytes:
    """The body of a request to `messages` or `actions/…`. Who calls, and in what conversation, become UUIDs of the
    gateway's own making, so that nobody comes into another's by naming it."""
    said = dict(call.arguments)
    conversation = str(said.get("conversation") or call.conversation or "")
    place = json.dumps([call.caller.id, tool.address.native, conversation])
    room = uuid.uuid5(translate.USERS, place) if conversation else uuid.uuid4()
    times = [t for t in (call.remaining, said.get("timeout") if tool.native == "ask" else None) if t is not None]
    body: dict[str, Json] = {
        "message": str(said.get("message") or ""), "user": translate.user(call.caller.id, call.speech.by),
        "room": str(room), "kept": bool(conversation), "hops": hops.write(call.hops),
    }  # fmt: skip
    if times:
        body["timeout"] = max(1, round(min(times) * 1000))
    if tool.native != "ask":
        body["parameters"] = said
    elif said.get("multi_step") is not None:
        body["multiStep"] = said["multi_step"]
    return orjson.dumps(body)


def refused(status: int, body: bytes, name: str) -> GatewayError | None:
    """What to raise for an answer that is no stream; None where there is no such plugin, or no such agent. Nothing was
    delivered in any case."""
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        said = None
    error: Any = said.get("error") if isinstance(said, dict) else None
    code, words = (error.get("code"), str(error.get("message"))) if isinstance(error, dict) else ("", "")
    if status == 401:
        text = f"'{name}' refuses the key of the plugin's routes; the operator sets 'plugin.key' of this upstream"
        return Refused(text, delivered="no")
    if status == 413:
        return TooLarge(f"'{name}' does not take so long a message", delivered="no")
    if status == 400 and code == "bad_arguments":
        return BadArguments(f"'{name}' does not take the call: {words[:200]}", delivered="no")
    if status in (403, 404):
        return None
    return Broken(f"'{name}' answered with the status {status}", delivered="no" if status < 500 else "unknown")


# ---- what is told -----------------------------------------------------------------------------------------------


class Told:
    """What was told of one call so far. `hear` each line; after the last, `result`."""

    def __init__(self, agent: str) -> None:
        self._agent = agent
        self._steps = 0
        self._messages: list[dict[str, Any]] = []
        self._results: list[dict[str, Any]] = []
        self._end: dict[str, Any] | None = None

    @property
    def ended(self) -> bool:
        return self._end is not None

    def hear(self, line: bytes) -> Event | None:
        """A preview, where the line is one. Raises `Broken` for what is no line, and the error that a line tells."""
        try:
            said = orjson.loads(line)
        except orjson.JSONDecodeError as fault:
            raise Broken(f"'{self._agent}' told something that is not JSON") from fault
        if not isinstance(said, dict):
            raise Broken(f"'{self._agent}' told something that is no line of the plugin's")
        match said.get("type"):
            case "chunk":
                return Part(Text(said["text"])) if isinstance(said.get("text"), str) and said["text"] else None
            case "action":
                return self._step(f"{said.get('name')} …")
            case "result":
                self._results.append(said)
            case "message":
                return self._message(said)
            case "end":
                self._end = said
            case "error":
                raise self._error(said)
            case _:
                pass
        return None

    def _step(self, message: str) -> Progress:
        self._steps += 1
        return Progress(message, done=float(self._steps))

    def _message(self, said: Mapping[str, Any]) -> Event | None:
        content = said.get("content")
        if not isinstance(content, dict):
            return None
        if said.get("evaluator") is not True:
            self._messages.append(content)
        text = content.get("text")
        return self._step(text) if isinstance(text, str) and text.strip() else None

    def _error(self, said: Mapping[str, Any]) -> GatewayError:
        text = str(said.get("message") or "it does not say why")[:1000]
        match said.get("code"):
            case "timed_out":
                return TimedOut(text)
            case "unknown":
                return Refused(text, delivered="no")
            case "refused":
                return Refused(text)
            case _:
                return Refused(f"the agent failed: {text}")

    def result(self) -> Result:
        """The answer. Raises `Refused` for what failed, and what is none."""
        end = self._end or {}
        answer = end.get("content")
        chosen = translate.names(answer) if isinstance(answer, dict) else []
        spoken = [m for m in self._messages if translate.content(m)]
        last = spoken[-1] if spoken else {}
        summed = SUMMARY in translate.names(last)
        self._require_good(last, summed)
        done = [str(r.get("action")) for r in self._results] or chosen
        meta: dict[str, Json] = {"actions": done, "mode": end.get("mode")}
        bad = [str(r.get("action")) for r in self._results if r.get("success") is False]
        meta |= {"failed": bad} if bad else {}
        if last:
            return Result(translate.content(last), structured=self._structured(), meta=meta)
        if "IGNORE" in [*chosen, *done] or end.get("didRespond") is False:
            raise Refused("the agent chose not to answer")
        text = str((self._results[-1] if self._results else {}).get("text") or "")
        if not text and self._results and isinstance(answer, dict):
            text = str(answer.get("text") or "")
        if not text and not (self._results and end.get("mode") == "direct"):
            readable = isinstance(answer, dict)
            why = "an empty answer" if readable else "no answer: its model said nothing that its server could read"
            raise Refused(f"the agent gave {why}")
        return Result((Text(text),) if text else (), structured=self._structured(), meta=meta)

    def _require_good(self, last: Mapping[str, Any], summed: bool) -> None:
        """The last action decides, unless a summary tells of it; one that is not there, where nothing else was said."""
        if translate.failed(last):
            raise Refused(str(last.get("text") or "an action of the agent failed"))
        result = self._results[-1] if self._results else {}
        if result.get("success") is not False or summed:
            return
        name = str(result.get("action"))
        if result.get("missing") is True:
            if not last:
                raise Refused(f"the agent chose the action {name}, which it does not have")
            return
        said = result.get("text") or last.get("text") or result.get("error") or f"the action {name} failed"
        raise Refused(str(last.get("text") or said), detail=str(result.get("error") or ""))

    def _structured(self) -> Json:
        """What the last action gave beside its text."""
        result = self._results[-1] if self._results else {}
        found = {key: result[key] for key in ("values", "data") if result.get(key)}
        return found or None
