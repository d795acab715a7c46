"""A running gateway, called over its plain HTTP: `invoke` and a catalogue for commands (`adapters.spi.Door`)."""

import base64
import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import httpx2
import orjson

from adapters import errors
from adapters.errors import Bug, ConnectFailed, GatewayError, Unknown
from adapters.spi import (
    Accepted,
    Agent,
    Ask,
    Call,
    Caller,
    Content,
    Data,
    Error,
    Event,
    File,
    Form,
    Part,
    Payment,
    Price,
    Progress,
    Request,
    Result,
    Sampling,
    Text,
    Tool,
    View,
    Visit,
)  # fmt: skip
from registry.model import Address, schema

KINDS = {kind.code: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, GatewayError)}


def fault(body: bytes, status: int) -> GatewayError:
    """The error behind a problem document."""
    try:
        said = orjson.loads(body)
        kind = KINDS[said["code"]]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return Bug(f"the gateway answered {status}: {body[:200].decode('utf-8', 'replace')}")
    found = kind(said["detail"], delivered=said.get("delivered"), retry_after=said.get("retry_after"))
    found.call_id = said.get("call", "")
    return found


class RemoteDoor:
    """The gateway behind an HTTP client."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client
        self.catalog = RemoteCatalog(client)
        self.caller = Caller("remote")

    async def invoke(self, call: Call) -> AsyncGenerator[Event, None]:
        said: dict[str, Any] = {"id": call.id, "arguments": dict(call.arguments), "conversation": call.conversation}
        said |= {"timeout": call.remaining, "budget": None if call.budget is None else str(call.budget)}
        if call.answer is not None:
            said["answer"] = {"token": call.answer.token, "values": dict(call.answer.values)}
        path = f"/v1/tools/{quote(call.tool, safe='')}/calls"
        headers = {"accept": "text/event-stream", "content-type": "application/json"}
        try:
            async with self._client.stream("POST", path, content=orjson.dumps(said), headers=headers) as response:
                if response.status_code >= 400:
                    yield Error(fault(await response.aread(), response.status_code))
                    return
                async for found in events(response):
                    yield found
        except httpx2.TransportError as broken:
            yield Error(ConnectFailed(f"the gateway went away: {broken}", delivered="unknown"))


class RemoteCatalog:
    """The catalogue of a running gateway, read once and again when `load` is called."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client
        self._tools: list[Tool] = []
        self.revision = 0

    async def load(self) -> None:
        response = await self._client.get("/v1/tools")
        if response.status_code >= 400:
            raise fault(response.content, response.status_code)
        self._tools = [_tool(said) for said in response.json()]
        self.revision += 1

    def agents(self, caller: Caller) -> Sequence[Agent]:
        return [Agent(Address("", "", slug), slug, slug=slug) for slug in sorted({t.agent for t in self._tools})]

    def tools(self, caller: Caller, agent: str | None = None) -> Sequence[Tool]:
        return [t for t in self._tools if agent in (None, t.agent)]

    def tool(self, name: str, caller: Caller) -> Tool:
        for tool in self._tools:
            if tool.name == name:
                return tool
        raise Unknown(f"no tool is called '{name[:80]}'")

    async def search(self, query: str, caller: Caller, limit: int = 20) -> Sequence[Tool]:
        response = await self._client.get("/v1/tools", params={"q": query})
        return [_tool(said) for said in response.json()[:limit]]

    async def changes(self) -> AsyncIterator[int]:
        yield self.revision

    @property
    def seen(self) -> View:
        return View()

    def view(self, name: str, caller: Caller) -> "RemoteCatalog":
        raise Unknown(f"no view is called '{name[:40]}' here: this catalogue shows all")

    def public(self, shown: str) -> str:
        return shown


def _tool(said: dict[str, Any]) -> Tool:
    return Tool(
        native=said["name"], description=said["description"], input_schema=schema(said["input_schema"]),
        output_schema=schema(said["output_schema"]) if said["output_schema"] else None, title=said["title"],
        annotations=said["annotations"], name=said["name"], agent=said["agent"], address=Address("", said["agent"], ""),
    )  # fmt: skip


async def events(response: httpx2.Response) -> AsyncIterator[Event]:
    """The events of a server-sent stream of the gateway's."""
    name = ""
    async for line in response.aiter_lines():
        if line.startswith("event: "):
            name = line[7:]
        elif line.startswith("data: "):
            yield event(name, json.loads(line[6:]))


def event(name: str, said: dict[str, Any]) -> Event:
    match name:
        case "progress":
            return Progress(said["message"], said["done"], said["total"])
        case "part":
            return Part(_content(said["content"]))
        case "result":
            content = tuple(_content(c) for c in said["content"])
            cost = said.get("cost")
            price = Price(Decimal(cost["amount"]), cost["asset"]) if cost else None
            return Result(content, said.get("structured"), cost=price)
        case "ask":
            return Ask(tuple(_request(r) for r in said["requests"]), token=said["token"])
        case "error":
            return Error(fault(orjson.dumps(said), said["status"]))
        case _:
            return Accepted("")


def _content(said: dict[str, Any]) -> Content:
    match said["type"]:
        case "text":
            return Text(said["text"])
        case "data":
            return Data(said["value"])
        case _:
            body = base64.b64decode(said["base64"]) if "base64" in said else None
            return File(said["mediaType"], body, said.get("uri"), said.get("name", ""))


def _request(said: dict[str, Any]) -> Request:
    match said["type"]:
        case "form":
            return Form(said["id"], said["message"], said["schema"])
        case "visit":
            return Visit(said["id"], said["message"], said["url"])
        case "sampling":
            return Sampling(said["id"], said["params"])
        case _:
            return Payment(said["id"], Price(Decimal(said["price"]["amount"]), said["price"]["asset"]), said["terms"])
