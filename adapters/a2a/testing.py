"""A client of A2A for the conformance suite: the official one, of the JSON-RPC face."""

import asyncio
from contextlib import suppress
from typing import Any, ClassVar

import httpx
from a2a.client import Client, ClientConfig, ClientFactory
from a2a.client.card_resolver import A2ACardResolver
from a2a.types import (
    CancelTaskRequest,
    GetExtendedAgentCardRequest,
    ListTasksRequest,
    SendMessageRequest,
    Task,
)
from a2a.utils.errors import A2AError

from adapters.a2a import translate
from adapters.conformance import NearSide, Outcome


class A2aNearSide(NearSide):
    """Names the skill in the metadata, and gives the arguments as data."""

    binding: ClassVar[str] = "JSONRPC"

    def _http(self) -> httpx.AsyncClient:
        headers = {"authorization": f"Bearer {self.key}"} if self.key else {}
        return httpx.AsyncClient(headers=headers, timeout=30)

    async def _client(self, http: httpx.AsyncClient, agent: str) -> Client:
        card = await A2ACardResolver(http, f"{self.url}/a2a/{agent}").get_agent_card()
        return ClientFactory(ClientConfig(httpx_client=http, supported_protocol_bindings=[self.binding])).create(card)

    async def tools(self) -> list[str]:
        async with self._http() as http:
            names: list[str] = []
            for agent in (await A2ACardResolver(http, self.url).get_agent_card()).skills:
                client = await self._client(http, agent.id)
                card = await client.get_extended_agent_card(GetExtendedAgentCardRequest())
                names += [f"{agent.id}__{skill.id}" for skill in card.skills]
            return sorted(names)

    async def call(self, tool: str, arguments: dict[str, Any], hops: str = "") -> Outcome:
        agent, _, skill = tool.partition("__")
        metadata = {translate.SKILL: skill} | ({translate.HOPS: hops} if hops else {})
        message = translate.user_message([translate.data(arguments)], "", "", metadata)
        async with self._http() as http:
            try:
                client = await self._client(http, agent)
                return await self._heard(client, SendMessageRequest(message=message))
            except (A2AError, httpx.HTTPStatusError) as fault:
                return _fault(fault)

    async def _heard(self, client: Client, request: SendMessageRequest) -> Outcome:
        task, previews = Task(), 0
        artifacts: dict[str, Any] = {}
        try:
            async for response in client.send_message(request):
                match response.WhichOneof("payload"):
                    case "task":
                        task = response.task
                    case "status_update":
                        task.status.CopyFrom(response.status_update.status)
                        previews += bool(translate.status_text(task))
                    case "artifact_update":
                        previews += 1
                        update = response.artifact_update
                        translate.grow(artifacts, update.artifact, append=update.append)
                    case _:
                        pass
        except asyncio.CancelledError:
            await self._cancel(client, task.id)
            raise
        return _outcome(task, artifacts, previews)

    async def _cancel(self, client: Client, id: str) -> None:
        """The task, or where its id did not come yet, what runs."""
        for _ in range(200):
            known = (await client.list_tasks(ListTasksRequest())).tasks
            running = [one.id for one in known if one.status.state not in translate.ENDED]
            if id or running:
                with suppress(A2AError):  # it has ended meanwhile
                    await client.cancel_task(CancelTaskRequest(id=id or running[0]))
                return
            await asyncio.sleep(0.01)


def _outcome(task: Task, artifacts: dict[str, Any], previews: int) -> Outcome:
    found = translate.result(artifacts.values(), task, {})
    problem = found.structured if isinstance(found.structured, dict) else {}
    error = problem.get("error")
    if isinstance(error, dict):
        return Outcome(error["detail"], error["code"], previews)
    return Outcome(found.text, "", previews, found.structured)


def _fault(fault: Exception) -> Outcome:
    """An error of the protocol, whose text has ours."""
    text = str(fault)
    unknown = "no agent" in text or "no tool" in text
    return Outcome(text, "unauthenticated" if "401" in text else "unknown" if unknown else "denied")
