"""Reaching into the network: agents by address, protocol or search, each called by what it speaks.

Messages of models and of the MCP protocol go synchronously, each from an identity of its own: stock agents tell answers
apart by the sender alone. Chats go asynchronously, each call in its session, from the identity of whoever calls.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from adapters.errors import BadArguments, Broken, GatewayError
from adapters.spi import Address, Agent, Call, Event, Host, Report, Tool, Upstream
from adapters.uagents import Options, calling, chat, envelopes, translate
from adapters.uagents.almanac import MOST, Almanac, is_address
from adapters.uagents.dialogues import Dialogues
from adapters.uagents.exchange import Post, exchange, told
from adapters.uagents.roster import NETWORK
from adapters.uagents.signing import Signer

AT_ONCE = 8
"""Agents that are looked at together."""
LISTING = 15.0
"""Seconds in which an agent must list its tools."""
USUAL = 300.0
SCHEME = "agent://"


class UagentsOutbound:
    """A set of agents as one upstream."""

    def __init__(self, upstream: Upstream, host: Host, options: Options) -> None:
        self._name = upstream.name
        self._options = options
        url = upstream.url
        named = (url.removeprefix(SCHEME),) if url.startswith(SCHEME) else ()
        self._addresses = tuple(dict.fromkeys((*named, *options.agents, *options.endpoints)))
        if wrong := [a for a in self._addresses if not is_address(a)]:
            raise BadArguments(f"'{wrong[0][:80]}' is no address of an agent: agent1 and 59 more letters")
        if not (self._addresses or options.protocol or options.search):
            raise BadArguments("name agents (agent://agent1q…, or agents = […]), a protocol, or words to search for")
        base = url if url.startswith(("http://", "https://")) else options.almanac
        client = host.client(base, *options.endpoints.values(), *options.private)
        self._client = client
        self._post = Post(client, Almanac(client, base, options.endpoints))
        self._exchange = exchange(host)
        self._dialogues = Dialogues(host, self._post, self._exchange, options.until)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await self._dialogues.end()

    # -- who there is ---------------------------------------------------------------------------------------------

    async def agents(self) -> AsyncIterator[Agent]:
        gate = asyncio.Semaphore(AT_ONCE)
        looking = [asyncio.create_task(self._look(address, gate)) for address in await self._listed()]
        fault: GatewayError | None = None
        try:
            for task in looking:
                try:
                    found = await task
                except GatewayError as error:
                    fault = fault or error
                    continue
                if found is not None:
                    yield found
        finally:
            for task in looking:
                task.cancel()
            await asyncio.gather(*looking, return_exceptions=True)
        if fault is not None:
            raise fault

    async def _listed(self) -> list[str]:
        almanac, options = self._post.almanac, self._options
        found = list(self._addresses)
        if options.protocol:
            found += await almanac.speaking(options.protocol)
        if options.search:
            found += await almanac.search(options.search)
        ours = self._exchange.published()
        known = [a for a in dict.fromkeys(found) if a not in ours and a not in self._exchange.ours]
        return known[: max(MOST, len(self._addresses))]

    async def _look(self, address: str, gate: asyncio.Semaphore) -> Agent | None:
        """The agent with its tools; None where the Almanac does not know it any more."""
        async with gate:
            record = await self._record(address)
            if record is None:
                return None
            said = record.get("protocols")
            protocols = [p for p in said if isinstance(p, str)][:50] if isinstance(said, list) else []
            meta = record.get("metadata")
            named = record.get("name") or (meta.get("name") if isinstance(meta, dict) else None)
            known = self._name if self._addresses == (address,) else f"{address[:10]}-{address[-6:]}"
            name = named if isinstance(named, str) and named else known
            tools = [tool for protocol in protocols for tool in await self._tools(address, name, protocol)]
            text = record.get("description")
            return Agent(
                Address(NETWORK, self._name, address), name, text if isinstance(text, str) else "",
                translate.distinct(iter(tools)),
            )  # fmt: skip

    async def _record(self, address: str) -> dict[str, Any] | None:
        """What the Almanac says; of an agent whose endpoint the operator knows, at least that it chats."""
        pinned = address in self._options.endpoints
        try:
            record = await self._post.almanac.record(address, fresh=True)
        except GatewayError:
            if not pinned:
                raise
            record = None
        return {"protocols": [chat.DIGEST]} if record is None and pinned else record

    async def _tools(self, address: str, name: str, protocol: str) -> list[Tool]:
        if protocol == chat.DIGEST:
            return [translate.ask(name)]
        if protocol == calling.MCP:
            said = await self._asked(address, name, (calling.LIST_TOOLS, {}), LISTING, {calling.TOOLS})
            return translate.mcp_tools(said, name)
        if protocol in calling.PAYMENT_PROTOCOLS:
            return []
        manifest = await self._post.almanac.manifest(protocol)
        return list(translate.model_tools(manifest)) if manifest is not None else []

    # -- calls ----------------------------------------------------------------------------------------------------

    async def invoke(self, call: Call, tool: Tool) -> AsyncIterator[Event]:
        kind, address = tool.meta.get("kind"), tool.address.native
        if kind == "chat":
            async for event in self._dialogues.talk(call, tool):
                yield event
            return
        seconds = USUAL if call.remaining is None else call.remaining
        arguments = dict(call.arguments)
        if kind == "mcp":
            message = (calling.CALL_TOOL, {"tool": tool.native, "args": arguments})
            said = await self._asked(address, tool.agent, message, seconds, {calling.RESULT})
            yield translate.mcp_result(said, tool.name)
        else:
            message = (str(tool.meta["digest"]), arguments)
            said = await self._asked(address, tool.agent, message, seconds, set(tool.meta["replies"]))
            yield translate.model_result(said)

    async def _asked(
        self, address: str, name: str, message: tuple[str, dict[str, Any]], seconds: float, wanted: set[str]
    ) -> dict[str, Any]:
        """Asks synchronously, from an identity that was never used. Raises `GatewayError`s."""
        asked = envelopes.make(Signer.fresh(), address, envelopes.session(), message, seconds)
        answer = await self._post.ask(asked, seconds)
        try:
            said = envelopes.document(answer)
        except BadArguments as fault:
            raise Broken(f"'{name}' answered with something that is not JSON") from fault
        if answer.schema_digest == calling.ERROR:
            raise told(str(said.get("error")), name)
        if answer.schema_digest not in wanted:
            raise Broken(f"'{name}' answered with a message that its protocol does not have: {answer.schema_digest}")
        return said

    async def check(self) -> Report:
        try:
            listed = await self._listed()
            if not listed:
                return Report(False, "no agent fits; try other words, or name addresses")
            states = [await self._state(address) for address in listed[:5]]
        except GatewayError as fault:
            return Report(False, f"{self._post.almanac.base}: {fault.public}")
        bad = [said for said in states if said]
        facts = {"agents": len(listed)}
        if len(bad) == len(states):
            return Report(False, bad[0], facts)
        text = f"{len(listed)} agents" + (f"; of the first {len(states)}, {len(bad)} do not answer" if bad else "")
        return Report(True, text, facts)

    async def _state(self, address: str) -> str:
        """What is wrong with an agent; blank where it is ready."""
        try:
            for url in await self._post.almanac.endpoints(address):
                request = self._client.build_request("HEAD", url, headers={"x-uagents-address": address}, timeout=10)
                response = await self._client.send(request)
                if response.headers.get("x-uagents-status") == "ready":
                    return ""
        except GatewayError as fault:
            return f"{address}: {fault.public}"
        except (httpx2.HTTPError, httpx2.InvalidURL):
            return f"{address} does not answer; is it running?"
        return f"{address} is not ready"
