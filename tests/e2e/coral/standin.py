"""A stand-in for a coral-server 1.2, as strict as its source says: sessions, puppets, registry, events, custom tools.

The real one is Kotlin and is not built here. `python -m tests.e2e.coral.standin PORT KEY SECRET FOLDER…` serves it,
with the debug agents and those of the folders.
"""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tests.e2e.coral import definitions
from tests.e2e.coral.definitions import Definition
from tests.e2e.coral.face import Face
from tests.e2e.coral.rules import Clock, Refusal, Session, SessionAgent


class CoralServer:
    """One server. `secret` signs the calls of custom tools."""

    def __init__(self, key: str = "coral-key", secret: str = "coral-secret") -> None:
        self.key = key
        self.secret = secret
        self.clock = Clock()
        self.url = ""
        self.registry: list[Definition] = []
        self.sessions: dict[str, dict[str, Session]] = {}
        self.faces: dict[str, Face] = {}
        self.opened = 0
        """Sessions that were ever opened."""
        self.deaf = False
        """Without its events."""
        self.broken = False
        """REST answers 500."""
        self.away = False
        """Connections are cut, as when nobody listens."""
        self.runner: uvicorn.Server | None = None
        self.cut: int | None = None
        """So many agents of the registry are described, and then no more."""
        self._ends: dict[str, asyncio.Task[None]] = {}
        self.define(definitions.function("puppet", definitions.puppet))

    def define(self, definition: Definition) -> None:
        self.registry.append(definition)

    def outage(self, on: bool) -> None:
        """Sessions go on meanwhile: it is the network that is away."""
        self.away = on
        peers: list[Any] = list(self.runner.server_state.connections) if on and self.runner else []
        for peer in peers:
            peer.transport.abort()

    def all(self) -> list[Session]:
        return [session for space in self.sessions.values() for session in space.values()]

    # -- sessions -------------------------------------------------------------------------------------------------

    def _resolve(self, id: dict[str, Any]) -> Definition:
        for one in self.registry:
            if one.identifier() == id:
                return one
        raise Refusal(500, f"Agent '{id.get('name')}' not found in any of the 1 registry sources")

    def _require_graph(self, said: dict[str, Any]) -> None:
        """The checks of an agent graph, before anything is made; the real server answers all of them with 500."""
        agents: list[dict[str, Any]] = said["agents"]
        names = [agent["name"] for agent in agents]
        if len(set(names)) != len(names):
            raise Refusal(500, f"Agent graph contains duplicate agent names: {names}")
        if missing := {name for group in said.get("groups", []) for name in group} - set(names):
            raise Refusal(500, f"Agent graph groups contain missing agents: {sorted(missing)}")
        for agent in agents:
            if missing := set(agent.get("customToolAccess", [])) - said.get("customTools", {}).keys():
                raise Refusal(500, f"Agent {agent['name']} contains custom tools that were not provided: {missing}")
            definition = self._resolve(agent["id"])
            if fault := definition.fault(agent.get("options", {})):
                raise Refusal(500, fault)
            provider = agent["provider"]
            if provider["type"] != "local" or provider["runtime"] not in definition.runtimes:
                raise Refusal(500, f"The requested runtime: {provider['runtime']} is not supported")

    def open(self, said: dict[str, Any]) -> Session:
        graph = said["agentGraphRequest"]
        self._require_graph(graph)
        provider = said["namespaceProvider"]
        if provider["type"] == "use_existing" and provider["name"] not in self.sessions:
            raise Refusal(404, "Namespace not found")
        made = provider["type"] == "create_if_not_exists"
        namespace: str = provider["namespaceRequest"]["name"] if made else provider["name"]
        session = Session(namespace, self.clock)
        for about in graph["agents"]:
            agent = session.agents[about["name"]] = SessionAgent(session, about["name"], about)
            tools = {n: graph["customTools"][n] for n in about.get("customToolAccess", [])}
            self.faces[agent.secret] = Face(agent, tools, self.secret)
        for group in graph.get("groups", []):
            session.group(group)
        self.sessions.setdefault(namespace, {})[session.id] = session
        self.opened += 1
        execution = said.get("execution", {"mode": "immediate"})
        if execution["mode"] == "immediate":
            self.launch(session, execution.get("runtimeSettings", {}).get("ttl"))
        return session

    def launch(self, session: Session, ttl: int | None) -> None:
        for agent in session.agents.values():
            definition = self._resolve(agent.about["id"])
            session.jobs[agent.name] = asyncio.create_task(self._job(agent, definition), name="coral stand-in agent")
        self._ends[session.id] = asyncio.create_task(self._life(session, ttl), name="coral stand-in session")

    async def _job(self, agent: SessionAgent, definition: Definition) -> None:
        agent.session.emit({"type": "runtime_started", "name": agent.name})
        try:
            if definition.function is not None:
                await definition.function(agent)
            else:
                await self._process(agent, definition)
        finally:
            agent.session.emit({"type": "runtime_stopped", "name": agent.name})

    async def _process(self, agent: SessionAgent, definition: Definition) -> None:
        """Launches the executable with the environment that the real server gives."""
        said = definition.runtimes["executable"]
        end = "sse/" if said.get("transport") == "sse" else "mcp"
        told = {
            "CORAL_CONNECTION_URL": f"{self.url}/mcp/v1/{agent.secret}/{end}", "CORAL_AGENT_ID": agent.name,
            "CORAL_AGENT_SECRET": agent.secret, "CORAL_SESSION_ID": agent.session.id, "CORAL_API_URL": self.url,
            "CORAL_RUNTIME_ID": "executable", **definition.environment(agent.about.get("options", {})),
        }  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            said["path"], *said["arguments"], cwd=definition.folder, env={**os.environ, **told}
        )
        try:
            await process.wait()
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
                await process.wait()

    async def _life(self, session: Session, ttl: int | None) -> None:
        """Until all its agents have left, or its time is over."""
        jobs = list(session.jobs.values())
        await asyncio.wait(jobs, timeout=None if ttl is None else ttl / 1000)
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        await self._gone(session)

    async def _gone(self, session: Session) -> None:
        for agent in session.agents.values():
            await self.faces.pop(agent.secret).stop()
        space = self.sessions[session.namespace]
        del space[session.id]
        if not space:
            del self.sessions[session.namespace]
        for listener in session.listeners:
            listener.put_nowait(None)
        self._ends.pop(session.id, None)

    async def close(self, session: Session) -> None:
        if not session.jobs:
            raise Refusal(500, "This session's agents have not been launched yet")
        for job in session.jobs.values():
            job.cancel()
        await asyncio.gather(*session.jobs.values(), return_exceptions=True)
        if end := self._ends.get(session.id):
            await end

    async def stop(self) -> None:
        """All that runs ends, as when the server's process does: nothing is kept."""
        for end in list(self._ends.values()):
            end.cancel()
        for session in self.all():
            for listener in session.listeners:
                listener.put_nowait(None)  # it says nothing more
            session.listeners.clear()
            for job in session.jobs.values():
                job.cancel()
            await asyncio.gather(*session.jobs.values(), return_exceptions=True)
            with suppress(KeyError):
                await self._gone(session)

    def find(self, namespace: str, id: str) -> Session:
        if namespace not in self.sessions:
            raise Refusal(404, f'Namespace "{namespace}" does not exist')
        if id not in self.sessions[namespace]:
            raise Refusal(404, "Session not found")
        return self.sessions[namespace][id]


class Rest:
    """Its routes, and the bearer key before them."""

    def __init__(self, server: CoralServer) -> None:
        self._server = server
        session = "/api/v1/local/session"
        puppet = "/api/v1/puppet/{namespace}/{id}/{agent}"
        self.app = Starlette(
            routes=[
                self._route(session, self._open, "POST"),
                self._route(session + "/{namespace}/{id}", self._session, "GET", "POST", "DELETE"),
                self._route(session + "/{namespace}/{id}/extended", self._extended, "GET"),
                self._route("/api/v1/local/namespace", self._namespaces, "GET"),
                self._route("/api/v1/registry", self._registry, "GET"),
                self._route("/api/v1/registry/local/{name}/{version}", self._agent, "GET"),
                self._route(puppet + "/thread", self._thread, "POST", "DELETE"),
                self._route(puppet + "/thread/message", self._message, "POST"),
                self._route(puppet + "/thread/participant", self._participant, "POST", "DELETE"),
                self._route(puppet, self._kill, "DELETE"),
                WebSocketRoute("/ws/v1/events/{token}/session/{namespace}/{id}", self._events),
                Mount("/mcp/v1", self._mcp),
            ]
        )

    def _route(self, path: str, answer: Any, *methods: str) -> Route:
        async def guarded(request: Request) -> Response:
            if request.headers.get("authorization") != f"Bearer {self._server.key}":
                return Response(status_code=401)
            try:
                if self._server.broken:
                    raise Refusal(500, "Unexpected error")
                said = await answer(request)
            except Refusal as fault:
                return JSONResponse({"message": str(fault), "stackTrace": []}, fault.status)
            except (KeyError, TypeError, orjson.JSONDecodeError) as fault:
                return JSONResponse({"message": f"Failed to convert request body: {fault!r}"}, 400)
            return Response(status_code=200) if said is None else JSONResponse(said)

        return Route(path, guarded, methods=list(methods))

    def _found(self, request: Request) -> Session:
        return self._server.find(request.path_params["namespace"], request.path_params["id"])

    def _puppet(self, request: Request) -> SessionAgent:
        return self._found(request).agent(request.path_params["agent"])

    async def _open(self, request: Request) -> Any:
        session = self._server.open(await request.json())
        return {"namespace": session.namespace, "sessionId": session.id}

    async def _session(self, request: Request) -> Any:
        session = self._found(request)
        if request.method == "DELETE":
            await self._server.close(session)
            return None
        if request.method == "POST":
            if session.jobs:
                raise Refusal(400, "Session is not pending execution")
            self._server.launch(session, (await request.json()).get("ttl"))
            return None
        return session.state()["base"]

    async def _extended(self, request: Request) -> Any:
        return self._found(request).state()

    async def _namespaces(self, request: Request) -> Any:
        return [{"name": name, "deleteOnLastSessionExit": True, "annotations": {}} for name in self._server.sessions]

    async def _registry(self, request: Request) -> Any:
        versions: dict[str, list[str]] = {}
        for one in self._server.registry:
            versions.setdefault(one.name, []).append(one.version)
        agents = [{"name": name, "versions": said} for name, said in versions.items()]
        now = self._server.clock.iso(self._server.clock.now())
        return [{"identifier": {"type": "local"}, "timestamp": now, "name": "merged", "agents": agents}]

    async def _agent(self, request: Request) -> Any:
        if self._server.cut is not None:
            self._server.cut -= 1
            if self._server.cut < 0:
                raise Refusal(500, "Unexpected error")
        for one in self._server.registry:
            if (one.name, one.version) == (request.path_params["name"], request.path_params["version"]):
                return one.document("local")
        raise Refusal(404, f"Agent '{request.path_params['name']}' not found in any of the 1 registry sources")

    async def _thread(self, request: Request) -> Any:
        agent, said = self._puppet(request), await request.json()
        if request.method == "DELETE":
            return agent.close_thread(said["threadId"], said["summary"])
        thread = agent.create_thread(said["threadName"], said["participantNames"])
        return {"thread": thread.document(self._server.clock)}

    async def _message(self, request: Request) -> Any:
        agent, said = self._puppet(request), await request.json()
        message = agent.send(said["threadId"], said["content"], said["mentions"])
        return {"status": "Message sent successfully", "message": message.document(self._server.clock)}

    async def _participant(self, request: Request) -> Any:
        agent, said = self._puppet(request), await request.json()
        act = agent.add_participant if request.method == "POST" else agent.remove_participant
        return act(said["threadId"], said["participantName"])

    async def _kill(self, request: Request) -> Any:
        agent = self._puppet(request)
        job = agent.session.jobs.get(agent.name)
        if job is None:
            raise Refusal(400, f"Agent {agent.name} has not been launched yet")
        job.cancel()
        await asyncio.wait({job})

    async def _events(self, ws: WebSocket) -> None:
        """From now on: what was before is not told."""
        if self._server.deaf or ws.path_params["token"] != self._server.key:
            await ws.close()  # before it is accepted: a refusal by number
            return
        try:
            session = self._server.find(ws.path_params["namespace"], ws.path_params["id"])
        except Refusal:
            await ws.close()
            return
        queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        await ws.accept()
        session.listeners.add(queue)
        with suppress(WebSocketDisconnect, RuntimeError):
            while (event := await queue.get()) is not None:
                await ws.send_text(orjson.dumps(event).decode())
            await ws.close()
        session.listeners.discard(queue)

    async def _mcp(self, scope: Any, receive: Any, send: Any) -> None:
        _, secret, kind, *_ = [*scope["path"].removeprefix("/mcp/v1").split("/"), "", ""]
        face = self._server.faces.get(secret)
        if face is None:
            await Response(status_code=401)(scope, receive, send)
        elif kind not in ("mcp", "sse"):
            await Response(status_code=404)(scope, receive, send)
        else:
            await face.handle(kind, scope, receive, send)


@asynccontextmanager
async def served(server: CoralServer, port: int = 0) -> AsyncIterator[str]:
    """On loopback, in this event loop."""

    class Peer(HttpToolsProtocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if server.away:
                transport.abort()

    config = uvicorn.Config(
        Rest(server).app, http=Peer, lifespan="off", log_config=None, ws="websockets-sansio",
        timeout_graceful_shutdown=1,
    )  # fmt: skip
    runner = server.runner = uvicorn.Server(config)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
        server.url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        task = asyncio.create_task(runner._serve([sock]), name="coral stand-in")
        while not runner.started:
            await asyncio.sleep(0.002)
        try:
            yield server.url
        finally:
            runner.should_exit = runner.force_exit = True
            await server.stop()
            await task


async def main(words: Sequence[str]) -> None:
    port, key, secret, *folders = words
    server = CoralServer(key, secret)
    server.define(definitions.function("echo", definitions.echo, "Says what it hears."))
    for folder in folders:
        server.define(definitions.read(Path(folder) / "coral-agent.toml"))
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with served(server, int(port)):
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
