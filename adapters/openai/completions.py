"""From a server's answer to a whole `chat.completion`: its stream put together. Pure, but for `Assembly`'s state."""

from typing import Any

import orjson

from adapters.errors import Broken, Full, GatewayError, Refused
from adapters.spi import INLINE_LIMIT, Json


class Assembly:
    """Adds up the chunks of a stream: texts grow, pieces of tool calls find their call by index."""

    def __init__(self) -> None:
        self._whole: dict[str, Any] = {"object": "chat.completion"}
        self._choices: dict[int, dict[str, Any]] = {}
        self._size = 0

    def add(self, chunk: dict[str, Any]) -> str:
        """The text that this chunk adds to the first choice. Raises `Broken` for more than goes inline."""
        for key in ("id", "created", "model", "system_fingerprint", "usage"):
            if chunk.get(key) is not None:
                self._whole[key] = chunk[key]
        said = ""
        for choice in _dicts(chunk.get("choices")):
            said += self._choice(choice)
        self._size += len(said)
        if self._size > INLINE_LIMIT:
            raise Broken("the answer has no end")
        return said

    def _choice(self, choice: dict[str, Any]) -> str:
        index = choice.get("index")
        index = index if isinstance(index, int) else 0
        if index > 16:
            raise Broken("the answer has too many choices")
        whole = self._choices.setdefault(
            index, {"index": index, "message": {"role": "assistant", "content": None}, "finish_reason": None}
        )
        if choice.get("finish_reason"):
            whole["finish_reason"] = choice["finish_reason"]
        delta: Any = choice.get("delta") or choice.get("message") or {}
        text = delta.get("content") if isinstance(delta, dict) else None
        if isinstance(text, str):
            whole["message"]["content"] = (whole["message"]["content"] or "") + text
        for piece in _dicts(delta.get("tool_calls")) if isinstance(delta, dict) else []:
            _tool_call(whole["message"].setdefault("tool_calls", []), piece)
        return text if isinstance(text, str) and index == 0 else ""

    @property
    def begun(self) -> bool:
        return bool(self._choices)

    def whole(self) -> dict[str, Json]:
        return {**self._whole, "choices": [self._choices[index] for index in sorted(self._choices)]}


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _tool_call(calls: list[dict[str, Any]], piece: dict[str, Any]) -> None:
    index = piece.get("index")
    at = index if isinstance(index, int) and 0 <= index <= 128 else len(calls)
    while len(calls) <= at:
        calls.append({"id": "", "type": "function", "function": {"name": "", "arguments": ""}})
    call, function = calls[at], piece.get("function")
    call["id"] = piece.get("id") or call["id"]
    if isinstance(function, dict):
        for key in ("name", "arguments"):
            if isinstance(function.get(key), str):
                call["function"][key] += function[key]


def parse(data: bytes | str, name: str) -> dict[str, Any]:
    """A JSON object. Raises `Broken`, and what `failure` makes of an error in the stream."""
    try:
        said: Any = orjson.loads(data)
    except orjson.JSONDecodeError as fault:
        raise Broken(
            f"'{name}' answered with something that is not JSON; is it an OpenAI-compatible server?"
        ) from fault
    if not isinstance(said, dict):
        raise Broken(f"'{name}' answered with JSON of another shape; is it an OpenAI-compatible server?")
    if said.get("error") and "choices" not in said:
        raise Refused(f"'{name}': {_message(said)}"[:600])
    return said


def failure(name: str, status: int, headers: Any, body: bytes) -> GatewayError:
    """An answer of 300 or more."""
    try:
        said: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        said = body[:300].decode("utf-8", "replace")
    text = _message(said)
    because = f": {text}" if text else ""
    if status == 401:
        return Refused(f"'{name}' refuses the gateway's key (401){because}; the operator sets 'key' of this upstream")
    if status in (429, 503):
        wait = headers.get("retry-after", "")
        seconds = float(wait) if wait.isascii() and wait.isdigit() else None
        return Full(f"'{name}' takes no more for now ({status}){because}", retry_after=seconds)
    if status == 404:
        return Refused(f"'{name}' has no such path or model (404){because}", delivered="no")
    return Refused(f"'{name}' {'failed' if status >= 500 else 'refused'} ({status}){because}")


def _message(said: Any) -> str:
    """What an error says, in the shapes that servers have."""
    for key in ("error", "message", "detail"):
        if isinstance(said, dict) and said.get(key):
            said = said[key]
    if isinstance(said, str):
        return said[:500]
    return orjson.dumps(said).decode()[:500] if said else ""
