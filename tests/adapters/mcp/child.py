"""An MCP server on standard input and output, as bad as its arguments say. Run as a program.

The first word of a call's text is what it does; other texts come back.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

MODES = set(sys.argv[1].split(",")) if len(sys.argv) > 1 else set[str]()
LOG = sys.argv[2] if len(sys.argv) > 2 else ""
"""A file that gets a line for each start and each call."""
LOCK = threading.Lock()
ANSWERS: dict[Any, Any] = {}
HELD: list[Any] = []


def note(line: str) -> None:
    if LOG:
        with open(LOG, "a") as file:
            file.write(f"{line}\n")


def send(message: Any) -> None:
    line = message if isinstance(message, bytes) else json.dumps(message).encode()
    with LOCK:
        sys.stdout.buffer.write(line + b"\n")
        sys.stdout.buffer.flush()


def reply(id: Any, result: Any) -> None:
    send({"jsonrpc": "2.0", "id": id, "result": result})


def text(id: Any, said: str) -> None:
    reply(id, {"content": [{"type": "text", "text": said}]})


def ask(id: Any, method: str, params: Any) -> None:
    """Asks beside the call, and answers the call with what came back."""
    own = f"q{id}"
    send({"jsonrpc": "2.0", "id": own, "method": method, "params": params})
    while own not in ANSWERS:
        time.sleep(0.005)
    text(id, json.dumps(ANSWERS.pop(own)))


RUBBISH: list[Any] = [
    b"Server listening", b"\xff\xfe\x00", b"{", b"", [1, 2], 7, None, {"id": [1], "result": {}}, {"method": 5},
    {"id": {}, "error": 1}, {"id": True, "result": {}}, {"method": "notifications/progress", "params": 5},
    {"method": "notifications/progress", "params": {"progressToken": [1]}},
]  # fmt: skip


def die(_id: Any, _rest: str, _token: Any) -> None:
    os._exit(3)


def hold(id: Any, _rest: str, _token: Any) -> None:
    HELD.append(id)


def release(id: Any, _rest: str, _token: Any) -> None:
    for held in HELD:
        text(held, "released")
    text(id, str(len(HELD)))
    HELD.clear()


def env(id: Any, rest: str, _token: Any) -> None:
    text(id, json.dumps({k: os.environ.get(k) for k in rest.split()}))


def environment(id: Any, _rest: str, _token: Any) -> None:
    text(id, json.dumps(sorted(os.environ)))


def long(_id: Any, _rest: str, _token: Any) -> None:
    send(b" " * (17 << 20))


def rubbish(id: Any, _rest: str, _token: Any) -> None:
    for line in RUBBISH:
        send(line)
    text(id, "after rubbish")


def flood(id: Any, _rest: str, token: Any) -> None:
    for number in range(10_000):
        send({"method": "notifications/progress", "params": {"progressToken": token, "progress": number}})
    text(id, "after the flood")


def stderr(id: Any, _rest: str, _token: Any) -> None:
    sys.stderr.write("x" * (17 << 20) + "\n" + "a line\n" * 20_000)
    sys.stderr.flush()
    text(id, "after the flood")


def twice(id: Any, _rest: str, _token: Any) -> None:
    text(id, "first")
    text(id, "second")


def orphan(id: Any, _rest: str, _token: Any) -> None:
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    text(id, "born")


def deaf(id: Any, _rest: str, _token: Any) -> None:
    os.close(0)
    text(id, "deaf")
    time.sleep(600)


WORDS = {
    f.__name__: f for f in (die, hold, release, env, environment, long, rubbish, flood, stderr, twice, orphan, deaf)
}
ASKED = ("elicitation/create", "sampling/createMessage", "roots/list", "ping", "made/up")


def call(id: Any, params: Any) -> None:
    word, _, rest = params["arguments"].get("text", "").partition(" ")
    note(f"call {word}")
    if word in ASKED:
        threading.Thread(target=ask, args=(id, word, json.loads(rest or "{}")), daemon=True).start()
    elif word in WORDS:
        WORDS[word](id, rest, params.get("_meta", {}).get("progressToken"))
    else:
        text(id, " ".join((word, rest)).strip())


def initialize(id: Any, _params: Any) -> None:
    if "hang" not in MODES:
        offered = {"tools": {"listChanged": True}}
        info = {"name": "child", "version": "1"}
        reply(id, {"protocolVersion": "2025-11-25", "capabilities": offered, "serverInfo": info})


def tools(id: Any, _params: Any) -> None:
    reply(id, {"tools": [{"name": "say", "inputSchema": {"type": "object"}}]})
    if "flash" in MODES:
        os._exit(4)


def cancelled(_id: Any, params: Any) -> None:
    note("cancelled")
    if params["requestId"] in HELD:
        text(params["requestId"], "too late")


METHODS = {
    "initialize": initialize, "tools/list": tools, "tools/call": call, "notifications/cancelled": cancelled,
}  # fmt: skip


def serve() -> None:
    for line in sys.stdin.buffer:
        message = json.loads(line)
        id, method = message.get("id"), message.get("method")
        if method is None:
            ANSWERS[id] = message.get("result", message.get("error"))
        elif method in METHODS:
            METHODS[method](id, message.get("params"))
        elif id is not None:
            send({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": "no such method"}})


if __name__ == "__main__":
    note(f"start {os.getpid()}")
    if "exit" in MODES:
        sys.stderr.write("reading settings\nno database at /srv/private\ncannot go on\n")
        sys.exit(2)
    if "deaf" in MODES:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    serve()
    if "deaf" in MODES:
        time.sleep(600)
