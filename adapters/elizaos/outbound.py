"""An ElizaOS server as an upstream."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace

from adapters.elizaos import PluginOptions
from adapters.elizaos.plugin_route import PluginRoute, RouteGone
from adapters.elizaos.sessions import SessionRoute
from adapters.elizaos.users import Users
from adapters.errors import BadArguments, ConnectFailed, GatewayError, Refused
from adapters.spi import Agent, Call, Engines, Event, Host, Report, Tool, Upstream

ENGINES = {"as-set": None, "single-shot": False, "multi-step": True}
"""How an agent works at a message, where the call does not say."""
PLUGIN = (
    "by the plain API an agent works as its server has set it; give it the plugin (plugin-ts), and this upstream the"
    " key that it takes (plugin.key)"
)
STAYS = "Memory does not move: the agent keeps its rooms on its server, and works in the same ones by each engine."


class ElizaOutbound:
    """The agents of one server: by the plugin those that have it and take its key, by the plain API all others. Those
    that registered themselves are named, and reached by the plugin alone."""

    def __init__(self, upstream: Upstream, host: Host, plugin: PluginOptions) -> None:
        self._upstream = upstream
        self._host = host
        self._named = plugin.agents
        self._plain = SessionRoute(upstream, host)
        self._plugin = PluginRoute(upstream, host, plugin.key) if plugin.key else None
        self._better: dict[str, bool] = {}
        """For each agent that was met, whether it is reached by the plugin."""
        self._said = ""
        self._kept = host.state("engine")
        self._engines: dict[str, str] = {}
        self._users = Users(host)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[None]:
        """Nothing is held open but the shared connections. Which engines were chosen is read, and who spoke here."""
        self._engines = {native: name.decode() for native, name in await self._kept.items()}
        await self._users.load()
        yield
        await self._users.settle()

    async def engines(self, native: str) -> Engines:
        """One for an agent that the plugin does not reach: as its server has set it."""
        if not self._better.get(native):
            missing = {name: PLUGIN for name in ENGINES if name != "as-set"}
            return Engines(("as-set",), "as-set", STAYS, missing)
        return Engines(tuple(ENGINES), self._engines.get(native, "as-set"), STAYS)

    async def switch(self, native: str, engine: str) -> Engines:
        """From the next message on. Raises `BadArguments`."""
        found = await self.engines(native)
        if engine not in found.names:
            why = "" if len(found.names) > 1 else "; by the plain API an agent works as its server has set it"
            raise BadArguments(f"there is no engine '{engine[:40]}'; there are: {', '.join(found.names)}{why}")
        await self._kept.put(native, engine.encode())
        self._engines[native] = engine
        return await self.engines(native)

    def _chosen(self, call: Call, tool: Tool) -> Call:
        """With the engine that was chosen, where the call names none."""
        steps = ENGINES.get(self._engines.get(tool.address.native, ""))
        if steps is None or tool.native != "ask" or "multi_step" in call.arguments:
            return call
        return replace(call, arguments={**call.arguments, "multi_step": steps})

    async def agents(self) -> AsyncIterator[Agent]:
        """Raises as the routes do."""
        if self._named:
            for id in self._named:
                yield await self._offered(id)
            return
        entries = await self._plain.entries()
        for entry in entries:
            yield await self._by_plugin(entry["id"]) or await self._plain.described(entry)
        self._better = {e["id"]: self._better.get(e["id"], False) for e in entries}

    async def _offered(self, id: str) -> Agent:
        """One that registered itself."""
        found = await self._plugin.agent(id) if self._plugin else None
        self._better[id] = True
        if found is None:
            raise ConnectFailed("the agent does not answer at its address", delivered="no")
        return found

    async def _by_plugin(self, id: str) -> Agent | None:
        """The agent, if it has the plugin and takes its key. A key that it does not take is told in the log, once."""
        if self._plugin is None:
            return None
        try:
            found = await self._plugin.agent(id)
        except Refused as fault:
            if fault.public != self._said:
                self._said = fault.public
                self._host.log.warning("the plain API is used", upstream=self._upstream.name, said=fault.public)
            found = None
        self._better[id] = found is not None
        return found

    async def invoke(self, call: Call, tool: Tool) -> AsyncIterator[Event]:
        native = tool.address.native
        self._users.note(call)
        if self._plugin and native not in self._better:  # nobody has listed it since the start
            await (self._offered(native) if self._named else self._by_plugin(native))
        if self._plugin and self._better[native]:
            try:
                async with aclosing(self._plugin.invoke(self._chosen(call, tool), tool)) as events:
                    async for event in events:
                        yield event
                return
            except RouteGone as gone:
                self._host.changed(self._upstream.name)
                if self._named:
                    raise ConnectFailed(f"the agent '{tool.agent}' is not at its address", delivered="no") from gone
                self._better[native] = False
        if tool.native != "ask":
            raise Refused(f"'{tool.agent}' offers the action {tool.native} no more", delivered="no")
        yield await self._plain.ask(call, tool)

    async def forget(self, caller: str, speaker: str = "") -> Report:
        """Agent by agent: by the plugin all of it, by the plain API what was said. Raises as the routes do."""
        users = self._users.of(caller, speaker)
        named = {id: id for id in self._named} or {e["id"]: e["name"] for e in await self._plain.entries()}
        found = [await self._forgotten(id, name, users) for id, name in named.items()]
        if all(ok for ok, _ in found) and not speaker:
            await self._users.forget(caller)
        return Report(all(ok for ok, _ in found), "; ".join(text for _, text in found))

    async def _forgotten(self, id: str, name: str, users: Sequence[str]) -> tuple[bool, str]:
        try:
            if self._plugin and (self._better.get(id) or self._named):
                said = await self._plugin.forget(id, users)
                if said is None:
                    return False, f"{name}: its plugin is too old to forget; bring it up to date"
                left = [str(one) for one in said.get("left") or ()]
                text = f"{name}: {said.get('people', 0)} people, {said.get('rooms', 0)} rooms forgotten"
                return not left, f"{text}; stays: {'; '.join(left)}" if left else text
            count = await self._plain.forget(id, users)
        except (GatewayError, RouteGone) as fault:
            return False, f"{name}: not forgotten: {getattr(fault, 'public', 'it is not there any more')}"
        return False, f"{name}: {count} conversations removed; who they were stays, for the plain API cannot remove it"

    async def check(self) -> Report:
        """Whether the server answers, takes the key, and has agents; and by which way they are reached."""
        try:
            found = [agent async for agent in self.agents()]
        except GatewayError as fault:
            return Report(False, f"{fault.public} ({self._upstream.url})")
        if not found:
            return Report(False, f"the ElizaOS server at {self._upstream.url} answers, and has no active agents")
        names = sorted(agent.name for agent in found)
        better = sorted(agent.name for agent in found if self._better.get(agent.address.native))
        said = f"{len(found)} agents: {', '.join(names)}"
        said += f"; by the plugin: {', '.join(better)}" if better else f"; {self._said}" if self._said else ""
        return Report(True, said, {"agents": names, "by_plugin": better})
