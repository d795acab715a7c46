"""What the tests of requirements share: the ids of A2A's compatibility kit, and a client for each face."""

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import grpc
import httpx
from a2a.client import Client, ClientConfig, ClientFactory
from a2a.client.card_resolver import A2ACardResolver
from a2a.types import Message, SendMessageRequest, Task

from adapters.a2a import translate
from adapters.a2a.translate import user_message

MUST = frozenset((Path(__file__).parent / "must.txt").read_text().split())
"""The ids of the kit (branch 1.0-dev) whose level is MUST."""
NOT_HERE = {
    "AUTH-INTASK-001": "no agent asks for a login within a task",
    "AUTH-INTASK-002": "no agent asks for a login within a task",
    "AUTH-INTASK-003": "no agent asks for a login within a task",
    "AUTH-INTASK-004": "no agent asks for a login within a task",
    "AUTH-TLS-001": "TLS ends before the gateway (docs/operations.md)",
    "GRPC-SVC-003": "TLS ends before the gateway (docs/operations.md)",
    "CORE-CAP-001": "every card says that it pushes",
    "CORE-CAP-002": "every card says that it streams",
    "CORE-CAP-003": "every card says that it has an extended one",
    "CORE-CAP-004": "no card requires an extension",
    "CARD-EXT-002": "every agent has an extended card",
    "CORE-MULTI-002a": "every context that a client names is taken",
}
"""What cannot happen at this gateway, and why."""
PORTS: dict[str, int] = {}
"""Where the gateway of the tests may push to."""
BINDINGS = ("JSONRPC", "HTTP+JSON", "GRPC")
SHOWN: dict[str, list[str]] = {}
"""By id, the tests that show it."""
Test = TypeVar("Test", bound=Callable[..., Any])


def must(*ids: str) -> Callable[[Test], Test]:
    """Says which requirements a test shows."""

    def mark(test: Test) -> Test:
        for id in ids:
            assert id in MUST, id
            SHOWN.setdefault(id, []).append(getattr(test, "__name__", ""))
        return test

    return mark


def free() -> int:
    """A port of loopback where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Keyed:
    """Shows a key in the metadata of gRPC."""

    def __init__(self, key: str) -> None:
        self._key = key

    def shown(self, details: Any) -> Any:
        metadata = [*(details.metadata or []), *([("authorization", f"Bearer {self._key}")] if self._key else [])]
        return details._replace(metadata=grpc.aio.Metadata(*metadata))


class Unary(Keyed, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await continuation(self.shown(client_call_details), request)


class Streams(Keyed, grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await continuation(self.shown(client_call_details), request)


@asynccontextmanager
async def talking(url: str, binding: str, key: str = "", agent: str = "kit") -> AsyncIterator[Client]:
    """The official client, by one face."""
    headers = {"authorization": f"Bearer {key}"} if key else {}
    async with httpx.AsyncClient(headers=headers, timeout=30) as http:
        card = await A2ACardResolver(http, f"{url}/a2a/{agent}").get_agent_card()
        config = ClientConfig(
            httpx_client=http, supported_protocol_bindings=[binding],
            grpc_channel_factory=lambda at: grpc.aio.insecure_channel(at, interceptors=[Unary(key), Streams(key)]),
        )  # fmt: skip
        client = ClientFactory(config).create(card)
        yield client
        if binding == "GRPC":
            await client.close()


def request(id: str, text: str = "hello", **more: Any) -> SendMessageRequest:
    """A message whose id says what the agent does."""
    message = user_message([translate.Part(text=text)], more.pop("context", ""), more.pop("task", ""), {})
    message.message_id = f"{id}-{message.message_id[:8]}"
    made = SendMessageRequest(message=message)
    for name, value in more.items():
        setattr(made.configuration, name, value)
    return made


async def heard(client: Client, made: SendMessageRequest) -> list[Any]:
    return [one async for one in client.send_message(made)]


async def done(client: Client, made: SendMessageRequest) -> Task:
    """The task at its end, as it is read again."""
    from a2a.types import GetTaskRequest

    first = (await heard(client, made))[0]
    return await client.get_task(GetTaskRequest(id=first.task.id))


def text_of(found: Task | Message) -> str:
    parts = [p for a in found.artifacts for p in a.parts] if isinstance(found, Task) else list(found.parts)
    return "".join(part.text for part in parts)
