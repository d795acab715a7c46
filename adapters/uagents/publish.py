"""`doolittle publish uagents AGENT`: makes an agent known, and shows its address; `--models`: what to send it."""

from collections.abc import Sequence
from typing import Any

import httpx2
import orjson

from adapters.errors import BadArguments, ConnectFailed, Refused, Unknown
from adapters.spi import Door
from adapters.words import document, line

USAGE = "doolittle publish uagents AGENT [--models] [--json]"


async def command(door: Door, words: Sequence[str]) -> int:
    """Raises `GatewayError`s."""
    flags = {word for word in words if word.startswith("--")}
    names = [word for word in words if not word.startswith("--")]
    if len(names) != 1 or flags - {"--models", "--json"}:
        raise BadArguments(f"usage: {USAGE}")
    found = await _ask(door, names[0], "GET" if "--models" in flags else "POST")
    if "--json" in flags:
        document(found)
    elif "--models" in flags:
        line(str(found["source"]).rstrip())
    else:
        line(f"{found['agent']} is {found['address']}\nat {found['endpoint']}, made known to: {found['registered']}")
    return 0


async def _ask(door: Door, agent: str, method: str) -> dict[str, Any]:
    if not agent.replace("-", "").isalnum():
        raise Unknown(f"no agent is called '{agent[:80]}'")
    url, key = await door.address()
    headers = {"authorization": f"Bearer {key}"} if key else {}
    async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=120, trust_env=False) as client:
        try:
            response = await client.request(method, f"/uagents/agents/{agent}")
        except httpx2.TransportError as fault:
            raise ConnectFailed(f"the gateway at {url} does not answer: {fault}") from fault
    found: dict[str, Any] = orjson.loads(response.content)
    if response.status_code >= 400:
        kind = {400: BadArguments, 404: Unknown}.get(response.status_code, Refused)
        raise kind(str(found.get("detail")))
    return found
