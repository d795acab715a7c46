"""OpenAI-compatible servers as upstreams: the server is the agent, which talks, embeds, and (GaiaNet) retrieves."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx2
import orjson

from adapters import wire
from adapters.errors import BadArguments, Broken, GatewayError
from adapters.openai import Options, catalogue, translate
from adapters.openai.catalogue import Node
from adapters.openai.completions import Assembly, failure, parse
from adapters.spi import Agent, Call, Event, Host, Json, Part, Report, Result, Text, Tool, Upstream

FOREVER = httpx2.Timeout(10, read=None, pool=5)
"""The call path watches the deadline."""
KEPT = 2000
"""Conversations that are remembered."""
TURNS = 40
"""Messages of one that are sent again."""
MOST = 100_000
"""Characters of them."""


@dataclass(slots=True)
class History:
    """What was said in one conversation; its calls queue, for each builds on the last."""

    said: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def keep(self, asked: str, answered: str) -> None:
        self.said += [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
        while len(self.said) > TURNS or sum(len(one["content"]) for one in self.said) > MOST:
            del self.said[:2]


class OpenAiOutbound:
    """One server. It forgets everything, so conversations are remembered here, and sent with each message."""

    def __init__(self, upstream: Upstream, host: Host, options: Options) -> None:
        self._name = upstream.name
        self._options = options
        self._base, self._gaia = catalogue.place(upstream.url, options.profile)
        if not self._base:
            raise BadArguments(f"'{upstream.name}': the url of a server is like http://127.0.0.1:8080/v1")
        self._http = host.http
        self._headers = {"content-type": "application/json", "accept": "application/json"}
        self._headers |= {name.lower(): value for name, value in options.headers.items()}
        if upstream.secret:
            self._headers["authorization"] = f"Bearer {upstream.secret}"
        self._secret = upstream.secret
        self._counts = options.usage
        self._node: Node | None = None
        self._histories: OrderedDict[tuple[str, str, str], History] = OrderedDict()

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[None]:
        """Nothing is held open but the shared connections."""
        yield

    async def agents(self) -> AsyncIterator[Agent]:
        self._node = await self._look()
        yield catalogue.agent(self._name, self._node, gaia=self._gaia)

    async def _look(self) -> Node:
        """What the server has: its models, and (GaiaNet) what it says of itself, where it does."""
        models = await self._either("/models")
        if models is None:
            raise Broken(f"'{self._name}' lists no models at {self._base}/models; is it an OpenAI-compatible server?")
        info = await self._either("/info") if self._gaia else None
        return catalogue.node(models, info or {}, self._options.model)

    async def _either(self, path: str) -> dict[str, Json] | None:
        """By GET, else by POST: servers differ. None where neither is answered well."""
        for method in ("GET", "POST"):
            response, body = await wire.send(self._http, self._request(method, path), self._name)
            if response.status_code == 200:
                return parse(body, self._name)
            if response.status_code not in (400, 404, 405, 501):
                raise self._failed(response, body)
        return None

    def _request(self, method: str, path: str, said: Json = None, *, stream: bool = False) -> httpx2.Request:
        headers = {**self._headers, "accept": "text/event-stream"} if stream else self._headers
        content = orjson.dumps(said) if said is not None else b"{}" if method == "POST" else None
        return self._http.build_request(method, self._base + path, content=content, headers=headers, timeout=FOREVER)

    def _failed(self, response: httpx2.Response, body: bytes) -> GatewayError:
        fault = failure(self._name, response.status_code, response.headers, body)
        if len(self._secret) > 3:
            fault.public = fault.public.replace(self._secret, "…")
        return fault

    # -- calls ----------------------------------------------------------------------------------------------------

    async def invoke(self, call: Call, tool: Tool) -> AsyncIterator[Event]:
        node = self._node
        if node is None:
            node = self._node = await self._look()
        if tool.native == "ask":
            async for event in self._ask(call, node):
                yield event
        elif tool.native == "embed":
            yield await self._embed(call.arguments, node)
        else:
            yield await self._retrieve(call.arguments, node)

    async def _ask(self, call: Call, node: Node) -> AsyncIterator[Event]:
        given = call.meta.get(translate.GIVEN)
        name = str(call.arguments.get("conversation") or call.conversation or "")
        if isinstance(given, Mapping) or not name:
            said = dict(given) if isinstance(given, Mapping) else self._said(call.arguments, [])
            async for event in self._complete(said, call, node):
                yield event
            return
        history = self._history((call.caller.id, call.tool, name))
        async with history.turn:
            async for event in self._complete(self._said(call.arguments, history.said), call, node):
                if isinstance(event, Result):
                    history.keep(str(call.arguments["message"]), event.text)
                yield event

    def _history(self, key: tuple[str, str, str]) -> History:
        found = self._histories.setdefault(key, History())
        self._histories.move_to_end(key)
        while len(self._histories) > KEPT:
            self._histories.popitem(last=False)
        return found

    def _said(self, arguments: Mapping[str, Json], before: list[dict[str, str]]) -> dict[str, Json]:
        system = str(arguments.get("system") or self._options.system)
        rules = [{"role": "system", "content": system}] if system else []
        said: dict[str, Json] = {"messages": [*rules, *before, {"role": "user", "content": arguments["message"]}]}
        return said | {key: arguments[key] for key in ("temperature", "max_tokens") if key in arguments}

    async def _complete(self, said: dict[str, Json], call: Call, node: Node) -> AsyncIterator[Event]:
        said |= {"model": call.arguments.get("model") or node.model, "stream": True}
        if self._counts:
            said |= {"stream_options": {"include_usage": True}}
        request = self._request("POST", "/chat/completions", said, stream=True)
        if call.trace:
            request.headers["traceparent"] = call.trace
        assembly = Assembly()
        async with wire.reaching(self._name):
            response = await self._http.send(request, stream=True)
            try:
                if response.status_code != 200:
                    raise self._failed(response, await wire.body(response, self._name))
                if response.headers.get("content-type", "").startswith("application/json"):
                    assembly.add(parse(await wire.body(response, self._name), self._name))
                else:
                    async for data in wire.events(response.aiter_bytes()):
                        if data.strip() == "[DONE]":
                            break
                        if piece := assembly.add(parse(data, self._name)):
                            yield Part(Text(piece))
            finally:
                await response.aclose()
        if not assembly.begun:
            raise Broken(f"'{self._name}' ended its answer before it began")
        yield catalogue.answered(assembly.whole(), self._name)

    async def _post(self, path: str, said: Json) -> dict[str, Json]:
        response, body = await wire.send(self._http, self._request("POST", path, said), self._name)
        if response.status_code != 200:
            raise self._failed(response, body)
        return parse(body, self._name)

    async def _embed(self, arguments: Mapping[str, Json], node: Node) -> Result:
        model = arguments.get("model") or node.embedder
        found = await self._post("/embeddings", {"model": model, "input": arguments["texts"]})
        return catalogue.embedded(found, str(model), len(arguments["texts"]), self._name)

    async def _retrieve(self, arguments: Mapping[str, Json], node: Node) -> Result:
        asked = [{"role": "user", "content": arguments["query"]}]
        found = await self._post("/retrieve", {"messages": asked, "model": node.model})
        return catalogue.retrieved(found, self._name)

    async def check(self) -> Report:
        """Whether the server answers, takes the key, and has models."""
        try:
            node = await self._look()
        except GatewayError as fault:
            return Report(False, f"{fault.public} ({self._base})")
        if self._options.model and self._options.model not in node.chat:
            return Report(False, f"it has no model '{self._options.model}'; it has {', '.join(node.chat[:10])}")
        kinds = f"{len(node.chat)} chat models" + (f", {len(node.embedding)} for embeddings" if node.embedding else "")
        return Report(bool(node.chat), f"{kinds}; '{node.model}' answers", {"models": list(node.chat)})
