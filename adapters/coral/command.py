"""`doolittle coral-agent --agent AGENT`: the process that a Coral session launches. It joins, answers, and leaves."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence

import httpx2
import orjson

from adapters.coral.joined import Joined, Mention
from adapters.errors import BadArguments, ConnectFailed
from adapters.spi import Door
from adapters.words import Parser

NEEDED = ("CORAL_CONNECTION_URL", "CORAL_AGENT_ID", "CORAL_SESSION_ID")
TIMEOUT = httpx2.Timeout(10, read=None)


def _parser() -> Parser:
    parser = Parser("coral-agent", "What a Coral session launches: an agent of the gateway, in that session.")
    parser.add_argument("--agent", required=True, help="The agent's slug, as `doolittle agents` shows it.")
    return parser


async def command(door: Door, words: Sequence[str]) -> int:
    """Raises `GatewayError`s. 0: the session is over, or asked us to leave."""
    said = _parser().read(words)
    if said is None:
        return 0
    slug = str(said.agent)
    told = environment(os.environ)
    url, key = await door.address()
    headers = {"authorization": f"Bearer {key}"} if key else {}
    async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=TIMEOUT, trust_env=False) as gateway:
        await require_agent(gateway, slug)
        answering = Answering(gateway, slug, told["CORAL_SESSION_ID"])
        joined = Joined(told["CORAL_CONNECTION_URL"], told["CORAL_AGENT_ID"], answering.answer, _log)
        await _until_asked(asyncio.create_task(joined.run(), name="coral agent"))
    _log("left")
    return 0


def environment(said: Mapping[str, str]) -> dict[str, str]:
    """What a Coral server tells the processes that it launches. Raises `BadArguments`."""
    if missing := [name for name in NEEDED if not said.get(name)]:
        raise BadArguments(f"a Coral server launches this, and sets {', '.join(missing)}; see: doolittle publish coral")
    return {name: said[name] for name in NEEDED}


async def require_agent(gateway: httpx2.AsyncClient, slug: str) -> None:
    """Raises `BadArguments` with what the gateway says."""
    if not slug.replace("-", "").isalnum():
        raise BadArguments(f"'{slug[:80]}' is no agent's slug")
    try:
        response = await gateway.get(f"/coral/agents/{slug}")
    except httpx2.TransportError as fault:
        raise ConnectFailed(f"the gateway at {gateway.base_url} does not answer") from fault
    if response.status_code != 200:
        raise BadArguments(_problem(response))


class Answering:
    """Hands mentions to the gateway."""

    def __init__(self, gateway: httpx2.AsyncClient, slug: str, session: str) -> None:
        self._gateway = gateway
        self._path = f"/coral/agents/{slug}/mentions"
        self._session = session

    async def answer(self, mention: Mention) -> str:
        """Errors are words too: whoever asked waits for some."""
        document = {
            "session": self._session, "thread": mention.thread, "text": mention.text, "sender": mention.sender,
            "among": list(mention.among),
        }  # fmt: skip
        try:
            response = await self._gateway.post(self._path, json=document)
        except httpx2.TransportError:
            return "Error (connect_failed): the gateway does not answer"
        if response.status_code != 200:
            return f"Error {_problem(response)}"
        return str(response.json()["text"])


def _problem(response: httpx2.Response) -> str:
    try:
        said = orjson.loads(response.content)
        return f"({said['code']}): {said['detail']}"
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return f"({response.status_code}): no reason given"


async def _until_asked(running: "asyncio.Task[None]") -> None:
    """Until it ends of itself, or we are asked to leave: then the connection is closed as it should be."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, running.cancel)
    try:
        await asyncio.wait({running})
        if not running.cancelled():
            running.result()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def _log(text: str) -> None:
    sys.stderr.write(f"doolittle coral-agent: {text}\n")
    sys.stderr.flush()
