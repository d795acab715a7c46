"""A client of plain HTTP for the conformance suite."""

from typing import Any

import httpx2
import orjson

from adapters.conformance import NearSide, Outcome

CONTEXT = httpx2.create_ssl_context()


class HttpNearSide(NearSide):
    """Calls with server-sent events, so that previews are seen."""

    def _client(self) -> httpx2.AsyncClient:
        headers = {"authorization": f"Bearer {self.key}"} if self.key else {}
        return httpx2.AsyncClient(base_url=self.url, headers=headers, timeout=30, verify=CONTEXT)

    async def tools(self) -> list[str]:
        async with self._client() as client:
            return [tool["name"] for tool in (await client.get("/v1/tools")).raise_for_status().json()]

    async def call(self, tool: str, arguments: dict[str, Any], hops: str = "") -> Outcome:
        headers = {"accept": "text/event-stream", **({"doolittle-hops": hops} if hops else {})}
        said = {"arguments": arguments}
        previews = 0
        async with (
            self._client() as client,
            client.stream("POST", f"/v1/tools/{tool}/calls", json=said, headers=headers) as response,
        ):
            if response.status_code >= 400:
                return _error(orjson.loads(await response.aread()))
            name = ""
            async for line in response.aiter_lines():
                name = line[7:] if line.startswith("event: ") else name
                if not line.startswith("data: "):
                    continue
                document = orjson.loads(line[6:])
                if name == "error":
                    return _error(document)
                if name == "result":
                    return Outcome(document["text"], previews=previews, structured=document.get("structured"))
                previews += 1
        raise AssertionError("the stream ended without a result")


def _error(problem: dict[str, Any]) -> Outcome:
    return Outcome(problem["detail"], problem["code"])
