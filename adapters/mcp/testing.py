"""Clients of MCP for the conformance suite: the official Python client, one class for each era."""

from typing import Any, ClassVar

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from adapters.conformance import NearSide, Outcome
from adapters.mcp import translate

CONTEXT = httpx2.create_ssl_context()


class ModernNearSide(NearSide):
    """Speaks 2026-07-28."""

    mode: ClassVar[Any] = "2026-07-28"

    async def tools(self) -> list[str]:
        async with (
            httpx2.AsyncClient(headers=self._headers(), verify=CONTEXT) as http,
            Client(streamable_http_client(self.url + "/mcp/all", http_client=http), mode=self.mode) as client,
        ):
            return [tool.name for tool in (await client.list_tools()).tools]

    def _headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"} if self.key else {}

    async def call(self, tool: str, arguments: dict[str, Any], hops: str = "") -> Outcome:
        seen: list[float] = []

        async def on_progress(progress: float, total: float | None, message: str | None) -> None:
            seen.append(progress)

        meta: Any = {translate.HOPS: hops} if hops else None
        async with httpx2.AsyncClient(headers=self._headers(), timeout=30, verify=CONTEXT) as http:
            transport = streamable_http_client(self.url + "/mcp/all", http_client=http)
            async with Client(transport, mode=self.mode) as client:
                try:
                    result = await client.call_tool(tool, arguments, progress_callback=on_progress, meta=meta)
                except MCPError as fault:
                    if "no tool" not in str(fault):
                        raise
                    return Outcome(str(fault), "unknown")
        text = "\n".join(getattr(block, "text", "") for block in result.content)
        code = (result.meta or {}).get(translate.ERROR, {}).get("code", "") if result.is_error else ""
        assert seen == sorted(seen), "progress grows"
        return Outcome(text, code, len(seen), result.structured_content)


class HandshakeNearSide(ModernNearSide):
    """Speaks 2025-11-25, with a session."""

    mode: ClassVar[Any] = "legacy"
