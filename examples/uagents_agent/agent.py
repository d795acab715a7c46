"""A real uAgent (`uagents` 0.26.1) that chats, counts words by a model of its own, and offers a tool by MCP.

    python examples/uagents_agent/agent.py PORT ALMANAC_URL

It also has doors of plain HTTP by which a test or the tour makes it call others: POST /chat, /send, /wait.
"""

import asyncio
import json
import os
import sys
import time
from typing import Any
from uuid import uuid4

asyncio.set_event_loop(asyncio.new_event_loop())

import uagents.registration  # noqa: E402
from uagents import Agent, Context, Field, Model, Protocol  # noqa: E402
from uagents.registration import AlmanacApiRegistrationPolicy  # noqa: E402
from uagents_core.contrib.protocols.chat import (  # noqa: E402
    ChatAcknowledgement,
    ChatMessage,
    EndSessionContent,
    EndStreamContent,
    MetadataContent,
    StartStreamContent,
    TextContent,
    chat_protocol_spec,
)
from uagents_core.models import ErrorMessage  # noqa: E402
from uagents_core.protocol import ProtocolSpecification  # noqa: E402

PORT, ALMANAC = int(sys.argv[1]), sys.argv[2]
uagents.registration.ALMANAC_API_MAX_RETRIES = 1
agent = Agent(
    name="freddy", seed="the seed of an example agent, known to everybody", port=PORT,
    endpoint=f"http://127.0.0.1:{PORT}/submit",
    agentverse={"base_url": ALMANAC.partition("://")[2], "protocol": "http"},
    registration_policy=AlmanacApiRegistrationPolicy(almanac_api=f"{ALMANAC}/v1/almanac"),
    report_events=False, handle_messages_concurrently=True,
)  # fmt: skip
said: dict[str, list[str]] = {}
chains: dict[str, str] = {}
heard: dict[str, "asyncio.Queue[dict[str, Any]]"] = {}


# ---- a model of its own ------------------------------------------------------------------------------------------


class CountWords(Model):
    """Counts the words of a text."""

    text: str
    delay: float = 0.0


class Counted(Model):
    text: str
    words: int


class Echo(Model):
    """Says the text again."""

    text: str


class Echoed(Model):
    text: str


class Trouble(Model):
    """Goes wrong as it is told: refuse, hang."""

    how: str


class Big(Model):
    """Answers with so many letters."""

    size: int


words = Protocol(name="Words", version="1.0")


@words.on_message(CountWords, replies={Counted})
async def on_count(ctx: Context, sender: str, message: CountWords) -> None:
    await asyncio.sleep(message.delay)
    await ctx.send(sender, Counted(text=message.text, words=len(message.text.split())))


@words.on_message(Echo, replies={Echoed})
async def on_echo(ctx: Context, sender: str, message: Echo) -> None:
    await ctx.send(sender, Echoed(text=message.text))


@words.on_message(Trouble, replies={Echoed, ErrorMessage})
async def on_trouble(ctx: Context, sender: str, message: Trouble) -> None:
    if message.how == "refuse":
        await ctx.send(sender, ErrorMessage(error="I would rather not."))


@words.on_message(Big, replies={Echoed})
async def on_big(ctx: Context, sender: str, message: Big) -> None:
    await ctx.send(sender, Echoed(text="x" * message.size))


agent.include(words, publish_manifest=True)


# ---- MCP over uAgents --------------------------------------------------------------------------------------------


class ListTools(Model):
    """Request to list available tools."""


class ListToolsResponse(Model):
    """Response containing available tools or error."""

    tools: list[dict[str, Any]] | None = None
    error: str | None = None


class CallTool(Model):
    """Request to call a specific tool with arguments."""

    tool: str
    args: dict[str, Any]


class CallToolResponse(Model):
    """Response from a tool call containing result or error."""

    result: str | None = None
    error: str | None = None


mcp = Protocol(
    spec=ProtocolSpecification(
        name="MCPProtocol", version="0.1.0",
        interactions={ListTools: {ListToolsResponse}, CallTool: {CallToolResponse}},
        roles={"client": set(), "server": {ListTools, CallTool}},
    ),
    role="server",
)  # fmt: skip
SHOUT = {
    "name": "shout",
    "description": "Says it louder.",
    "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
}


@mcp.on_message(ListTools)
async def on_list(ctx: Context, sender: str, _message: ListTools) -> None:
    await ctx.send(sender, ListToolsResponse(tools=[SHOUT]))


@mcp.on_message(CallTool)
async def on_call(ctx: Context, sender: str, message: CallTool) -> None:
    if message.tool != "shout":
        await ctx.send(sender, CallToolResponse(error="there is no such tool"))
    else:
        await ctx.send(sender, CallToolResponse(result=str(message.args["text"]).upper() + "!"))


agent.include(mcp)


# ---- chat --------------------------------------------------------------------------------------------------------

chat = Protocol(spec=chat_protocol_spec)


@chat.on_message(ChatMessage)
async def on_chat(ctx: Context, sender: str, message: ChatMessage) -> None:
    await ctx.send(sender, ChatAcknowledgement(acknowledged_msg_id=message.msg_id))
    session = str(ctx.session)
    if session in heard:
        heard[session].put_nowait({"text": message.text(), "content": json.loads(message.json())["content"]})
        return
    for content in message.content:
        if isinstance(content, MetadataContent) and "doolittle-hops" in content.metadata:
            chain = content.metadata["doolittle-hops"]
            chains[chain.rpartition(",")[2].partition("/")[0]] = chain
    await answer(ctx, sender, session, message.text())


async def answer(ctx: Context, sender: str, session: str, text: str) -> None:
    word, _, rest = text.partition(" ")
    if word == "!talk":
        said.setdefault(session, []).append(rest)
        await ctx.send(sender, ChatMessage(content=[TextContent(text=" ".join(said[session]))]))
    elif word == "!count":
        for number in range(1, int(rest) + 1):
            meta = {"progress": f"counting {number}", "done": str(number), "total": rest}
            await ctx.send(sender, ChatMessage(content=[MetadataContent(metadata=meta)]))
        await ctx.send(sender, ChatMessage(content=[TextContent(text=f"counted to {rest}")]))
    elif word == "!stream":
        await stream(ctx, sender, rest)
    elif word == "!long":
        for piece in rest.split():
            await ctx.send(sender, ChatMessage(content=[TextContent(text=piece + " ")]))
        await ctx.send(sender, ChatMessage(content=[EndSessionContent()]))
    elif word == "!slow":
        await asyncio.sleep(float(rest))
        await ctx.send(sender, ChatMessage(content=[TextContent(text="at last")]))
    elif word != "!hang":
        await ctx.send(sender, ChatMessage(content=[TextContent(text=text)]))


async def stream(ctx: Context, sender: str, text: str) -> None:
    id = uuid4()
    await ctx.send(sender, ChatMessage(content=[StartStreamContent(stream_id=id)]))
    for piece in text.split():
        await ctx.send(sender, ChatMessage(content=[TextContent(text=piece + " ")]))
    await ctx.send(sender, ChatMessage(content=[EndStreamContent(stream_id=id)]))


@chat.on_message(ChatAcknowledgement)
async def on_acknowledgement(ctx: Context, _sender: str, _message: ChatAcknowledgement) -> None:
    if str(ctx.session) in heard:
        heard[str(ctx.session)].put_nowait({"acknowledged": True})


agent.include(chat, publish_manifest=True)


# ---- doors by which it is made to call ---------------------------------------------------------------------------


class Order(Model):
    target: str
    text: str
    sync: bool = False
    message: dict[str, Any] = Field(default_factory=dict)
    digest: str = ""
    until: int = 1
    timeout: int = 30


class Report(Model):
    ok: bool
    status: str
    heard: list[dict[str, Any]] = Field(default_factory=list)


@agent.on_rest_post("/chat", Order, Report)
async def do_chat(_ctx: Context, order: Order) -> Report:
    """Says something; asynchronously it is heard until `until` texts came, synchronously the one answer."""
    ctx = agent._build_context()
    message = ChatMessage(content=[TextContent(text=order.text)])
    if order.sync:
        found, status = await ctx.send_and_receive(
            order.target, message, response_type={ChatMessage, ErrorMessage}, sync=True, timeout=order.timeout
        )
        text = getattr(found, "text", None)
        content = {"text": text() if callable(text) else str(found)}
        return Report(ok=found is not None, status=str(status.status), heard=[content])
    queue = heard[str(ctx.session)] = asyncio.Queue()
    status = await ctx.send(order.target, message, timeout=order.timeout)
    came: list[dict[str, Any]] = []
    ends = time.monotonic() + order.timeout
    while sum(bool(one.get("text")) for one in came) < order.until and str(status.status).endswith("DELIVERED"):
        try:
            came.append(await asyncio.wait_for(queue.get(), ends - time.monotonic()))
        except TimeoutError:
            break
    return Report(ok=bool(came), status=str(status.status), heard=came)


@agent.on_rest_post("/send", Order, Report)
async def do_send(_ctx: Context, order: Order) -> Report:
    """Sends `message` under `digest`, and gives what comes back."""

    from uagents.communication import send_message_raw
    from uagents_core.envelope import Envelope

    found = await send_message_raw(
        order.target, order.digest, json.dumps(order.message), sender=agent._identity,
        resolver=agent._resolver, timeout=order.timeout, sync=True,
    )  # fmt: skip
    text = found if isinstance(found, str) else found.decode_payload() if isinstance(found, Envelope) else str(found)
    return Report(ok=isinstance(found, str | Envelope), status="", heard=[{"payload": text}])


@agent.on_rest_post("/chain", Order, Report)
async def do_chain(_ctx: Context, order: Order) -> Report:
    return Report(ok=order.text in chains, status=chains.get(order.text, ""))


@agent.on_event("startup")
async def started(_ctx: Context) -> None:
    print(f"ready {agent.address}", flush=True)


if __name__ == "__main__":
    os.environ["PYTHONUNBUFFERED"] = "1"
    agent.run()
