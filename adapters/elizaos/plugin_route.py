"""The way to an agent by `elizaos-plugin-doolittle`: beside `sessions.py`, with the same verbs, and better in each.

Its routes stand outside the server's own check of keys, so the plugin's key is all that is shown, and an agent that
registered itself needs no key of the server.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any
from urllib.parse import quote

import httpx2
import orjson

from adapters import wire
from adapters.elizaos import lines, translate
from adapters.elizaos.lines import Told
from adapters.errors import Broken, ConnectFailed
from adapters.spi import Agent, Call, Event, Host, Tool, Upstream

STREAM = httpx2.Timeout(10, read=60, pool=5)
"""A stream that is alive shows it every five seconds."""
SLOW = httpx2.Timeout(10, read=300, pool=5)
"""A database may have much to remove."""
NO_PLUGIN = (400, 403, 404, 405)


class RouteGone(Exception):
    """The plugin, or the agent, is not there any more; nothing was delivered."""


class PluginRoute:
    """Talks to the plugin of one server, for all agents that take this key."""

    def __init__(self, upstream: Upstream, host: Host, key: str) -> None:
        self._name = upstream.name
        self._base = f"{upstream.url.rstrip('/')}/doolittle"
        self._http = host.http
        self._headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        self._headers |= {"accept": "application/x-ndjson", "accept-encoding": "identity"}

    async def agent(self, id: str) -> Agent | None:
        """The agent, with the actions that it offers; None where it has no such plugin.

        Raises `Refused` for a key that is not its own, `Broken`, and as `wire.send`.
        """
        url = f"{self._base}/capabilities?agentId={quote(id, safe='')}"
        request = self._http.build_request("GET", url, headers=self._headers)
        response, body = await wire.send(self._http, request, self._name)
        if response.status_code == 200 and not response.headers.get("content-type", "").startswith("text/html"):
            found = lines.agent(body, self._name)
            if found.address.native != id:
                raise Broken(f"'{self._name}' answered for another agent than it was asked for")
            return found
        if response.status_code in (200, *NO_PLUGIN):  # some servers answer what they do not know with their page
            return None
        raise lines.refused(response.status_code, body, self._name) or Broken(f"'{self._name}' answered out of place")

    async def forget(self, id: str, users: Sequence[str]) -> dict[str, Any] | None:
        """What the agent has removed of these users; None for a plugin that cannot. Raises as `agent`."""
        url = f"{self._base}/forget?agentId={quote(id, safe='')}"
        content = orjson.dumps({"users": list(users)})
        request = self._http.build_request("POST", url, content=content, headers=self._headers, timeout=SLOW)
        response, body = await wire.send(self._http, request, self._name)
        if response.status_code == 200 and not response.headers.get("content-type", "").startswith("text/html"):
            return translate.parse(body, self._name)
        if response.status_code in (200, *NO_PLUGIN):
            return None
        raise lines.refused(response.status_code, body, self._name) or Broken(f"'{self._name}' answered out of place")

    async def invoke(self, call: Call, tool: Tool) -> AsyncGenerator[Event, None]:
        """What the plugin tells, as it is told. Closing it hangs up, and the agent begins nothing more.

        Raises `RouteGone`, what went wrong, and `ConnectFailed` where the stream broke off.
        """
        agent = quote(tool.address.native, safe="")
        what = "messages" if tool.native == "ask" else f"actions/{quote(tool.native, safe='')}"
        url = f"{self._base}/{what}?agentId={agent}"
        content = lines.asked(call, tool)
        request = self._http.build_request("POST", url, content=content, headers=self._headers, timeout=STREAM)
        told = Told(tool.agent)
        async with wire.reaching(self._name):
            response = await self._http.send(request, stream=True)
            try:
                await self._require_stream(response)
                async for line in split(response, self._name):
                    event = told.hear(line)
                    if event is not None and not told.ended:
                        yield event
            finally:
                await response.aclose()
        if not told.ended:
            raise ConnectFailed(f"the connection to '{self._name}' broke before the agent had answered")
        yield told.result()

    async def _require_stream(self, response: httpx2.Response) -> None:
        if response.status_code == 200 and response.headers.get("content-type", "").startswith("application/x-ndjson"):
            return
        body = await wire.body(response, self._name)
        fault = None if response.status_code == 200 else lines.refused(response.status_code, body, self._name)
        raise fault or RouteGone


async def split(response: httpx2.Response, name: str) -> AsyncIterator[bytes]:
    """The lines of a body. Raises `Broken` for one that is too long."""
    kept = bytearray()
    chunks: Any = response.stream
    async for chunk in chunks:
        start = len(kept)
        kept += chunk
        while (end := kept.find(b"\n", start)) >= 0:
            line = bytes(kept[:end])
            del kept[: end + 1]
            start = 0
            if line.strip():
                yield line
        if len(kept) > wire.LIMIT:
            raise Broken(f"'{name}' told more than {wire.LIMIT >> 20} MB in one line")
    if kept.strip():
        yield bytes(kept)
