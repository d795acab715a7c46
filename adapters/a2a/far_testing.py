"""An agent for the conformance suite: the official SDK's server, in this process."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any, ClassVar

from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes, create_rest_routes
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types import AgentCapabilities, AgentCard, AgentInterface, AgentSkill, Part, Task, TaskState, TaskStatus
from starlette.applications import Starlette
from starlette.routing import Mount

from adapters.a2a import translate
from adapters.conformance import Talker, Trial
from adapters.conformance.serving import serving
from adapters.spi import Ask, Form, Json, Upstream

NAME: Json = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


class Scripted(AgentExecutor):
    """Does what the words say: `!count N`, `!big N`, `!talk T`, `!fail`, `!hang`, `!ask`, `!job T`; else it echoes."""

    def __init__(self) -> None:
        self.running = 0
        self.delivered: list[str] = []
        self.chains: dict[str, str] = {}
        self.talks: dict[str, list[str]] = {}
        self.held = asyncio.Event()
        self.breaks: Any = lambda: None

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        message, task = context.message, context.current_task
        assert message is not None
        chain = str(translate.plain(message.metadata).get(translate.HOPS, ""))
        call = chain.rpartition(",")[2].partition("/")[0]
        self.delivered.append(call)
        self.chains[call] = chain
        ids = context.task_id or "", task.context_id if task else context.context_id or ""
        if task is None:
            begun = Task(id=ids[0], context_id=ids[1], history=[message])
            begun.status.CopyFrom(TaskStatus(state=TaskState.TASK_STATE_SUBMITTED))
            await event_queue.enqueue_event(begun)
        updater = TaskUpdater(event_queue, *ids)
        await updater.start_work()
        self.running += 1
        try:
            data = [translate.plain(part.data) for part in message.parts if part.HasField("data")]
            said = data[0]["who"]["name"] if task is not None and data else context.get_user_input()
            await self._do(said, updater, ids[1], answering=task is not None)
        finally:
            self.running -= 1

    async def _do(self, said: str, updater: TaskUpdater, context: str, *, answering: bool) -> None:
        word, _, rest = said.partition(" ")
        if answering:
            return await self._say(updater, f"hello {said}")
        match word:
            case "!count":
                for number in range(int(rest)):
                    await updater.start_work(updater.new_agent_message([Part(text=f"step {number + 1}")]))
                    await self._piece(updater, number, int(rest))
                return await updater.complete()
            case "!talk":
                talks = self.talks.setdefault(context, [])
                talks.append(rest)
                return await self._say(updater, " ".join(talks))
            case "!fail":
                return await updater.failed(updater.new_agent_message([Part(text="no such flower")]))
            case "!ask":
                asked = translate.asked(Ask((Form("who", "What is your name?", NAME),)))
                return await updater.requires_input(updater.new_agent_message(asked))
            case "!hang":
                await asyncio.Event().wait()
            case "!job":
                await asyncio.sleep(0.05)
                self.breaks()
                await asyncio.sleep(0.05)
                return await self._say(updater, f"done: {rest}")
            case _:
                return await self._say(updater, "x" * int(rest) if word == "!big" else said)

    async def _piece(self, updater: TaskUpdater, number: int, of: int) -> None:
        part = [Part(text=f"{number + 1} ")]
        await updater.add_artifact(part, artifact_id="out", append=number > 0, last_chunk=number == of - 1)

    async def _say(self, updater: TaskUpdater, text: str) -> None:
        await updater.add_artifact([Part(text=text)], artifact_id="out", last_chunk=True)
        await updater.complete()

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        task = context.current_task
        await TaskUpdater(event_queue, context.task_id or "", task.context_id if task else "").cancel()


def card(base: str, binding: str, version: str, *, streaming: bool = True) -> AgentCard:
    skills = [AgentSkill(id="echo", name="Echo", description="Says it again.", tags=["echo"])]
    path = {"JSONRPC": "/rpc", "HTTP+JSON": "/rest"}.get(binding, "")
    return AgentCard(
        name="Far", description="A scripted agent.", version="1", skills=skills, default_input_modes=["text/plain"],
        default_output_modes=["text/plain"], capabilities=AgentCapabilities(streaming=streaming),
        supported_interfaces=[AgentInterface(url=base + path, protocol_binding=binding, protocol_version=version)],
    )  # fmt: skip


class A2aFarSide(Talker):
    """JSON-RPC, 1.0, streaming."""

    binding: ClassVar[str] = "JSONRPC"
    version: ClassVar[str] = "1.0"
    streaming: ClassVar[bool] = True

    async def open(self) -> None:
        self.far = Scripted()
        self.far.breaks = self._break
        self._stack = AsyncExitStack()
        self.app = Starlette()
        url, self._server = await self._stack.enter_async_context(serving(self.app))
        made = card(url, self.binding, self.version, streaming=self.streaming)
        handler = DefaultRequestHandler(agent_executor=self.far, task_store=InMemoryTaskStore(), agent_card=made)
        self._stack.push_async_callback(handler.aclose)
        self.app.router.routes += [
            *create_agent_card_routes(made),
            *create_jsonrpc_routes(handler, rpc_url="/rpc", enable_v0_3_compat=True),
            Mount("/rest", routes=create_rest_routes(handler, enable_v0_3_compat=True)),
        ]
        self.upstream = Upstream("far", "a2a", url, options={"poll": 0.02})

    def _break(self) -> None:
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()

    async def close(self) -> None:
        await self._stack.aclose()

    def fail(self, code: str) -> Trial:
        return Trial("ask", {"message": "!fail"})

    def ask(self, live: bool) -> Trial:
        return Trial("skill:echo", {"message": "!ask"})

    def job(self, text: str) -> Trial:
        return Trial("ask", {"message": f"!job {text}"}, f"done: {text}")

    def talk(self, text: str) -> Trial:
        return Trial("ask", {"message": f"!talk {text}"})

    def delivered(self, call: str) -> int:
        return self.far.delivered.count(call)

    def running(self) -> int:
        return self.far.running

    def chain(self, call: str) -> str:
        return self.far.chains[call]


class RestFarSide(A2aFarSide):
    """HTTP+JSON."""

    binding: ClassVar[str] = "HTTP+JSON"


class OldFarSide(A2aFarSide):
    """A server of which only 0.3 is known."""

    version: ClassVar[str] = "0.3"


class SlowFarSide(A2aFarSide):
    """An agent that does not stream: its task is looked at."""

    streaming: ClassVar[bool] = False
