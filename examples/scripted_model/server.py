"""An OpenAI-compatible model without a model: it does what the task tells it to, word by word. For tests and the tour.

Words that it obeys, anywhere in what a user says, each on the rest of its line:

    !use TOOL {JSON}    call this tool; several are called one after the other
    !else TOOL {JSON}   what is planned anew when a tool failed
    !loop TOOL {JSON}   call this tool, for ever
    !say TEXT           what it answers in the end, in place of the last tool's result
    !told               it answers with all that it was told of itself: its system message
    !slow SECONDS       so long before each word
    !500                the server fails

Then it answers with the last tool's result; without tools, with what was said. `python server.py PORT` serves alone.
"""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

WORD = re.compile(r"!(use|else|loop)\s+([\w-]+)\s*([^\n]*)")
SAY = re.compile(r"!say ([^\n]*)")
Message = dict[str, Any]


class ScriptedModel:
    """Counts what it is asked: `requests`, `running`, and the keys that came with them."""

    def __init__(self) -> None:
        self.requests = 0
        self.running = 0
        self.bodies: list[Message] = []
        self.keys: set[str] = set()
        self.url = ""

    @asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator["ScriptedModel"]:
        server = await asyncio.start_server(self._connection, "127.0.0.1", port, limit=2**24)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        try:
            yield self
        finally:
            server.close()

    def decide(self, request: Message) -> tuple[str, Message | None]:
        """What is answered: a text, or the tool call in its place."""
        return decided(request)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                size = re.search(r"content-length: (\d+)", head)
                body = await reader.readexactly(int(size[1]) if size else 0)
                key = re.search(r"authorization: bearer (\S+)", head)
                self.keys |= {key[1]} if key else set()
                await self._answer(head.split(" ")[1], body, writer)
        writer.close()

    async def _answer(self, path: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        if not path.endswith("/chat/completions"):
            _write(writer, 200, json.dumps({"object": "list", "data": [{"id": "scripted", "object": "model"}]}))
            return
        said = json.loads(body)
        self.requests += 1
        self.bodies.append(said)
        del self.bodies[:-200]
        self.running += 1
        try:
            text = _said(said)
            if "!500" in text:
                _write(writer, 500, json.dumps({"error": {"message": "the model is out", "type": "server_error"}}))
            elif said.get("stream"):
                await self._stream(said, text, writer)
            else:
                _write(writer, 200, json.dumps(_whole(said, *self.decide(said))))
            await writer.drain()
        finally:
            self.running -= 1

    async def _stream(self, said: Message, text: str, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        slow = re.search(r"!slow\s+([\d.]+)", text)
        for chunk in _chunks(said, *self.decide(said)):
            if slow:
                await asyncio.sleep(float(slow[1]))
            _chunk(writer, b"data: " + json.dumps(chunk).encode() + b"\n\n")
            await writer.drain()
        _chunk(writer, b"data: [DONE]\n\n")
        writer.write(b"0\r\n\r\n")


def _said(request: Message) -> str:
    """The last thing a user said that has a word to obey; else the last."""
    spoken = [_text(m) for m in request["messages"] if m["role"] == "user"]
    return next((s for s in reversed(spoken) if WORD.search(s) or SAY.search(s)), spoken[-1] if spoken else "")


def _text(message: Message) -> str:
    said = message.get("content") or ""
    return said if isinstance(said, str) else " ".join(part.get("text", "") for part in said)


def decided(request: Message) -> tuple[str, Message | None]:
    """What is answered: a text, or the tool call in its place."""
    whole = _said(request)
    if received := re.search(r"# Received Message\nUser: (.*?)\n\n(?:# Action|To act|# Focus)", whole, re.DOTALL):
        return _in_its_form(whole, received[1].strip()), None
    said = whole.partition("\n\n# Context")[0]  # where the words of before stand again
    tools = {t["function"]["name"]: t["function"] for t in request.get("tools") or []}
    if "Plan" in tools:
        kind = "else" if "# What was done so far" in whole else "use"
        steps = [{"tool": n, "arguments": json.loads(a or "{}")} for k, n, a in WORD.findall(said) if k == kind]
        return "", {"name": "Plan", "arguments": {"steps": steps}}
    results = _results(request, whole)
    if tools and (loop := next((w for w in WORD.findall(said) if w[0] == "loop"), None)):
        return "", _called(loop[1], json.loads(loop[2] or "{}"), tools)
    wanted = [w for w in WORD.findall(said) if w[0] == "use"]
    if tools and len(results) < len(wanted):
        _, name, arguments = wanted[len(results)]
        return "", _called(name, json.loads(arguments or "{}"), tools)
    if told := SAY.search(said):
        return told[1].strip(), None
    if "!told" in said:
        return "\n\n".join(_text(m) for m in request["messages"] if m["role"] == "system"), None
    summed = whole.partition("# What was done\n")[2].removesuffix("\nAnswer the task.")
    done = re.split(r"^\d+\. [\w-]+: ", summed, flags=re.MULTILINE)[1:] or results
    return (f"The answer is {done[-1].strip()}." if done else f"You said: {_plain(said)}"), None


def _in_its_form(prompt: str, said: str) -> str:
    """An answer to the Python runtime of ElizaOS, with the checkpoint codes where it asks for them."""
    codes = {kind: re.search(rf"^{kind} code: (\S+)", prompt, re.MULTILINE) for kind in ("initial", "middle", "end")}
    echoed = "".join(f"<one_{kind}_code>{found[1]}</one_{kind}_code>" for kind, found in codes.items() if found)
    return f"<response>{echoed if '<one_initial_code>' in prompt else ''}{_acts(prompt, said)}</response>"


def _acts(prompt: str, said: str) -> str:
    """Its next action, as the others' tool calls; else the text."""
    words = WORD.findall(said.partition("\n\n# Context")[0])
    gave = re.search(r"# Action Results\n(.*?)\n\n(?:To act|# Focus)", prompt, re.DOTALL)
    done = re.split(r"^\d+\. [\w-]+ \(\w+\): ", gave[1], flags=re.MULTILINE)[1:] if gave else []
    used = [word for word in words if word[0] == "use"]
    loop = next((word for word in words if word[0] == "loop"), None)
    if "\nTo act, " in prompt and (step := loop or next(iter(used[len(done) :]), None)):
        name = step[1].upper()
        params = json.dumps({name: json.loads(step[2] or "{}")}).replace("&", "&amp;").replace("<", "&lt;")
        return f"<thought>act</thought><actions>{name}</actions><params>{params}</params><text></text>"
    told = SAY.search(said)
    text = told[1].strip() if told else f"The answer is {done[-1].strip()}." if done else f"You said: {said}"
    escaped = text.replace("&", "&amp;").replace("<", "&lt;")
    return f"<thought>say it again</thought><actions>REPLY</actions><text>{escaped}</text>"


def _results(request: Message, said: str) -> list[str]:
    """What tools gave since the user spoke."""
    messages: list[Message] = request["messages"]
    spoken = [n for n, m in enumerate(messages) if m["role"] == "user" and _text(m) == said]
    return [_text(m) for m in messages[spoken[-1] if spoken else 0 :] if m["role"] == "tool"]


def _plain(said: str) -> str:
    """Some frameworks wrap the task."""
    said = re.sub(r"(?s)^.*Current Task: |\n\nThis is the expect.*$", "", said)
    return re.split(r"\n\n# (?:Context|What was done)", said)[0].strip()


def _called(name: str, arguments: Message, tools: dict[str, Message]) -> Message:
    """The call, by the name under which the request has the tool."""
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    found = next((n for n in tools if re.sub(r"[^a-z0-9]", "", n.lower()) == plain), name)
    return {"name": found, "arguments": arguments}


def _frame(request: Message, **more: Any) -> Message:
    return {"id": "chatcmpl-1", "created": 1, "model": request.get("model", "scripted"), **more}


USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def _whole(request: Message, text: str, call: Message | None) -> Message:
    message: Message = {"role": "assistant", "content": text if call is None else None}
    if call is not None:
        function = {"name": call["name"], "arguments": json.dumps(call["arguments"])}
        message["tool_calls"] = [{"id": _id(request), "type": "function", "function": function}]
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if call else "stop"}
    return _frame(request, object="chat.completion", choices=[choice], usage=USAGE)


def _id(request: Message) -> str:
    return f"call_{len(request['messages'])}"


def _chunks(request: Message, text: str, call: Message | None) -> Iterator[Message]:
    def chunk(delta: Message, finish: str | None = None) -> Message:
        choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
        return _frame(request, object="chat.completion.chunk", choices=choices)

    yield chunk({"role": "assistant", "content": ""})
    if call is not None:
        arguments = json.dumps(call["arguments"])
        first = {
            "index": 0,
            "id": _id(request),
            "type": "function",
            "function": {"name": call["name"], "arguments": ""},
        }
        yield chunk({"tool_calls": [first]})
        for piece in (arguments[: len(arguments) // 2], arguments[len(arguments) // 2 :]):
            yield chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
    for piece in re.findall(r"\S+\s*|\s+", text):
        yield chunk({"content": piece})
    yield chunk({}, "tool_calls" if call else "stop")
    if (request.get("stream_options") or {}).get("include_usage"):
        yield _frame(request, object="chat.completion.chunk", choices=[], usage=USAGE)


def _write(writer: asyncio.StreamWriter, status: int, body: str) -> None:
    said = body.encode()
    head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(said)}\r\n\r\n"
    writer.write(head.encode() + said)


def _chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(b"%x\r\n%b\r\n" % (len(data), data))


async def main() -> None:
    async with ScriptedModel().serving(int(sys.argv[1]) if len(sys.argv) > 1 else 0) as model:
        print(json.dumps({"url": model.url}), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
