"""`agents`, `tools`, `call`, `calls`."""

import sys
import time
from collections.abc import AsyncIterator
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

import orjson
import typer

from adapters.errors import BadArguments
from adapters.spi import Answer, Ask, Call, Content, Data, Error, Event, File, Form, Part, Progress, Result, Text
from gateway.cli.house import House, Place, columns, exit_code
from gateway.cli.show import document, line, say, table

Json = Annotated[bool, typer.Option("--json", help="Answer with JSON.")]


def agents(app: typer.Typer, with_house: Any) -> None:
    @app.command("agents")
    def command(ctx: typer.Context, json: Json = False) -> None:
        """The agents, where they live, and whether they can be reached."""

        async def work(here: House) -> int:
            found = await here.ask("GET", "/v1/agents")
            if json or ctx.obj.as_json:
                document(found)
            else:
                rows = [
                    {**a, "tools": len(a["tools"]), "at": f"{a['network']}/{a['upstream']}", "score": _score(a)}
                    for a in found
                ]
                shown = columns(rows, "slug", "name", "at", "tools", "state", "score", "description")
                head = ("agent", "name", "network/upstream", "tools", "state", "benchmark", "description")
                table(head, shown, NO_AGENTS)
            return 0

        raise typer.Exit(with_house(work, _with(ctx.obj, json)))


def _score(agent: dict[str, Any]) -> str:
    """The newest score, with what it is of: "0.420 tau2_retail n=20, user gpt-5"; a scripted user is only named so."""
    said = agent["benchmark"]
    if not said:
        return ""
    return f"{said['benchmarkScore']:.3f} {said['benchmark']} n={said['n']}, user {said['user'].partition(':')[0]}"


NO_AGENTS = "There are no agents. Add a place where some live: doolittle add NETWORK NAME URL"


def _with(place: Place, json: bool) -> Place:
    place.as_json = place.as_json or json
    return place


def tools(app: typer.Typer, with_house: Any) -> None:
    @app.command("tools")
    def command(
        ctx: typer.Context,
        query: Annotated[str, typer.Argument(help="Find by words.")] = "",
        agent: Annotated[str, typer.Option(help="Of this agent only.")] = "",
        view: Annotated[str, typer.Option(help="Through this view: the names that it shows.")] = "",
        json: Json = False,
    ) -> None:
        """The tools that can be called."""

        async def work(here: House) -> int:
            found = await here.ask("GET", "/v1/tools", params={"q": query, "agent": agent, "view": view})
            if json or ctx.obj.as_json:
                document(found)
            else:
                rows = [{**t, "arguments": _arguments(t["input_schema"])} for t in found]
                shown = columns(rows, "name", "arguments", "state", "description")
                empty = f"No tool fits '{query}'." if query else NO_AGENTS
                table(("tool", "arguments", "state", "description"), shown, empty)
            return 0

        raise typer.Exit(with_house(work, _with(ctx.obj, json)))


def _arguments(schema: dict[str, Any]) -> str:
    required = schema.get("required", [])
    return " ".join(name if name in required else f"[{name}]" for name in schema.get("properties", {}))


def call(app: typer.Typer, with_house: Any) -> None:
    @app.command("call")
    def command(
        ctx: typer.Context,
        tool: Annotated[str, typer.Argument(help="Its public name, such as eliza__ask.")],
        words: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...")] = None,
        json: Annotated[str, typer.Option("--json", help="The arguments as a JSON object.")] = "",
        stream: Annotated[bool, typer.Option(help="Print what comes while it comes.")] = False,
        conversation: Annotated[str, typer.Option(help="Go on with this conversation.")] = "",
        timeout: Annotated[float, typer.Option(help="Seconds.")] = 300,
        budget: Annotated[str, typer.Option(help="What it may cost.")] = "",
        id: Annotated[str, typer.Option(help="Idempotency key.")] = "",
    ) -> None:
        """Call a tool. `doolittle --json call …` answers with JSON."""

        async def work(here: House) -> int:
            schema = (await here.ask("GET", f"/v1/tools/{tool}"))["input_schema"]
            made = Call(
                id=id or f"cli-{time.time_ns():x}", tool=tool, arguments=arguments(words or [], json, schema),
                caller=(door := await here.door()).caller, conversation=conversation or None,
                deadline=time.time() + timeout, budget=_budget(budget),
            )  # fmt: skip
            last = await follow(door.invoke(made), stream and not ctx.obj.as_json)
            while isinstance(last, Ask) and sys.stdin.isatty() and not ctx.obj.as_json:
                answer = Answer(last.token, _fill_in(last))
                last = await follow(door.invoke(Call(made.id + "+", tool, {}, door.caller, answer=answer)), stream)
            return _end(last, made.id, ctx.obj)

        raise typer.Exit(with_house(work, ctx.obj))


def arguments(words: list[str], text: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Arguments from `key=value` words, each read as its schema says, over those of the JSON text.

    Raises `BadArguments`.
    """
    try:
        found = orjson.loads(text) if text else {}
    except orjson.JSONDecodeError as fault:
        raise BadArguments(f"--json is not JSON: {fault}") from fault
    if not isinstance(found, dict):
        raise BadArguments("--json is a JSON object")
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise BadArguments(f"'{word}' is not of the form key=value")
        kind = schema.get("properties", {}).get(name, {}).get("type", "string")
        try:
            found[name] = value if kind == "string" else orjson.loads(value)
        except orjson.JSONDecodeError as fault:
            raise BadArguments(f"'{name}' is of the type {kind}, and '{value}' is not") from fault
    return found


def _budget(text: str) -> Decimal | None:
    try:
        return Decimal(text) if text else None
    except InvalidOperation as fault:
        raise BadArguments(f"--budget is a number, not '{text}'") from fault


async def follow(events: AsyncIterator[Event], show: bool) -> Event:
    """The last event; the others are printed as they come, if they are to be shown."""
    last: Event = Error(BadArguments("the call ended without an event"))
    async for event in events:
        last = event
        if show and isinstance(event, Progress):
            of = f" {event.done:g}/{event.total:g}" if event.done is not None and event.total else ""
            sys.stderr.write(f"…{of} {event.message}\n")
        elif show and isinstance(event, Part) and isinstance(event.content, Text):
            sys.stdout.write(event.content.text)
            sys.stdout.flush()
    return last


def _fill_in(ask: Ask) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for request in ask.requests:
        if isinstance(request, Form):
            line(request.message)
            values[request.id] = {name: typer.prompt(name) for name in request.schema.get("properties", {})}
    return values


def _end(last: Event, id: str, place: Place) -> int:
    if isinstance(last, Error):
        say(last.error.public, place, last.error.problem())
        return exit_code(last.error)
    if isinstance(last, Ask):
        shown = [{"id": r.id, "message": getattr(r, "message", "")} for r in last.requests]
        say("it asks back: " + "; ".join(s["message"] for s in shown), place, {"token": last.token, "requests": shown})
        return 1
    assert isinstance(last, Result)
    if place.as_json:
        document(
            {"call": id, "text": last.text, "structured": last.structured, "content": [_shown(c) for c in last.content]}
        )
    elif last.content or last.structured is None:
        line("\n".join(_printed(c) for c in last.content))
    else:
        document(last.structured)
    return 0


def _shown(of: Content) -> dict[str, Any]:
    match of:
        case Text():
            return {"type": "text", "text": of.text}
        case Data():
            return {"type": "data", "value": of.value}
        case File():
            return {
                "type": "file",
                "mediaType": of.media_type,
                "name": of.name,
                "uri": of.uri,
                "bytes": len(of.body or b""),
            }


def _printed(of: Content) -> str:
    shown = _shown(of)
    return str(shown["text"]) if shown["type"] == "text" else orjson.dumps(shown).decode()


def calls(app: typer.Typer, with_house: Any) -> None:
    @app.command("calls")
    def command(
        ctx: typer.Context,
        id: Annotated[str, typer.Argument(help="One call.")] = "",
        tree: Annotated[bool, typer.Option(help="The whole chain that it belongs to.")] = False,
        count: Annotated[int, typer.Option(help="So many of the last.")] = 20,
        json: Json = False,
    ) -> None:
        """The last calls; or one, over all its hops."""

        async def work(here: House) -> int:
            rows = await here.ask("GET", "/v1/audit", params={"count": count, "call": id})
            if id and not tree:
                rows = [row for row in rows if row["call"] == id]
            if id and not rows:
                raise BadArguments(f"no call '{id}' is in the audit")
            if json or ctx.obj.as_json:
                document(rows)
            elif id and tree:
                _tree(rows)
            else:
                _list(rows)
            return 0

        raise typer.Exit(with_house(work, _with(ctx.obj, json)))


def _networks(row: dict[str, Any]) -> str:
    return f"{row['network']}>{row['target_network']}"


def _list(rows: list[dict[str, Any]]) -> None:
    shown = [
        [time.strftime("%H:%M:%S", time.localtime(r["at"])), r["call"], r["caller"], _networks(r),
         r["tool"], r["code"] or r["outcome"], f"{r['ms']:.0f}"]
        for r in rows
    ]  # fmt: skip
    table(("at", "call", "caller", "networks", "tool", "outcome", "ms"), shown, "No calls yet.")


def _tree(rows: list[dict[str, Any]]) -> None:
    """Each call under the one that caused it."""
    known = {row["call"] for row in rows}

    def below(parent: str | None, depth: int) -> None:
        for row in rows:
            above = row["parent"] if row["parent"] in known else None
            if above == parent:
                outcome = row["code"] or row["outcome"]
                networks = _networks(row)
                line(f"{'  ' * depth}{row['tool']}  {networks}  {outcome}  {row['ms']:.0f} ms  {row['call']}")
                below(row["call"], depth + 1)

    below(None, 0)


COMMANDS = (agents, tools, call, calls)
