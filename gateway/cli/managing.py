"""`serve`, `add`, `check`, `keys`, `approve`, `pause`."""

import asyncio
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from adapters.errors import BadArguments
from gateway.cli import operator_file
from gateway.cli.calling import Json, _with
from gateway.cli.house import House, Place, columns
from gateway.cli.show import document, line, table
from gateway.settings import read


def serve(app: typer.Typer, with_house: Any) -> None:
    @app.command("serve")
    def command(
        ctx: typer.Context,
        host: Annotated[str, typer.Option(help="In place of the file's.")] = "",
        port: Annotated[int | None, typer.Option(help="In place of the file's; 0 takes a free one.")] = None,
    ) -> None:
        """Serve, until SIGTERM or Ctrl-C; then drain."""
        from gateway.serve import Server, locked, new_loop
        from gateway.telemetry import start_log

        async def work(_here: House) -> int:
            settings = read(ctx.obj.config)
            changed = {k: v for k, v in (("host", host or None), ("port", port)) if v is not None}
            settings = settings.model_copy(update={"server": settings.server.model_copy(update=changed)})
            start_log(settings.log, color=sys.stderr.isatty())
            with locked(settings.data_dir):
                await Server(settings, ctx.obj.config).run(_say_ready)
            return 0

        raise typer.Exit(with_house(work, ctx.obj, new_loop()))


def _say_ready(gateway: Any) -> None:
    tools = len(gateway.registry.snapshot.tools)
    line(f"Doolittle listens at {gateway.base_url} with {tools} tools already known; MCP at {gateway.base_url}/mcp")
    sys.stdout.flush()


def add(app: typer.Typer, with_house: Any) -> None:
    @app.command("add")
    def command(
        ctx: typer.Context,
        network: Annotated[str, typer.Argument(help="See: doolittle adapters")],
        name: Annotated[str, typer.Argument(help="What you call it, such as my-agents.")],
        target: Annotated[list[str] | None, typer.Argument(metavar="[URL | FILE | -- COMMAND...]")] = None,
        key: Annotated[str, typer.Option(help='Its key; best as "env:NAME" or "file:PATH".')] = "",
        option: Annotated[list[str] | None, typer.Option(help="key=value, of the network's own.")] = None,
        untrusted: Annotated[bool, typer.Option(help="Changed tools wait for approval.")] = False,
    ) -> None:
        """Add an upstream to the operator's file, keeping its comments, and try it. A file stands in place of a URL
        where a network is reached by one."""

        async def work(here: House) -> int:
            words = target or []
            if not words:
                raise BadArguments("name a URL, or a command after --")
            said: dict[str, Any] = {"network": network}
            said |= {"url": words[0]} if len(words) == 1 and "://" in words[0] else {"command": _absolute(words)}
            said |= {"key": key} if key else {}
            said |= {"trusted": False} if untrusted else {}
            said |= dict(operator_file.option(o) for o in option or [])
            report = await operator_file.configure(here, ctx.obj, name, said)
            _say_report(name, report, ctx.obj)
            return 0 if report["ok"] else 1

        raise typer.Exit(with_house(work, ctx.obj))


def _absolute(words: list[str]) -> list[str]:
    """A document that is named alone is found from any folder."""
    alone = len(words) == 1 and words[0].endswith(".json")
    return [str(Path(words[0]).resolve())] if alone else words


def check(app: typer.Typer, with_house: Any) -> None:
    @app.command("check")
    def command(ctx: typer.Context, name: Annotated[str, typer.Argument()] = "", json: Json = False) -> None:
        """Try an upstream, or all, and say what is wrong."""

        async def work(here: House) -> int:
            names = [name] if name else [u["name"] for u in await here.ask("GET", "/v1/upstreams")]
            checks = [here.ask("POST", f"/v1/upstreams/{n}/check", json={}) for n in names]
            reports = await asyncio.gather(*checks)
            faults = {} if name else await here.ask("GET", "/v1/faults")
            reports += [{"name": n, "ok": False, "text": f, "facts": {}} for n, f in faults.items()]
            if json or ctx.obj.as_json:
                document(reports)
            elif not reports:
                line("There are no upstreams. Add one: doolittle add NETWORK NAME URL")
            else:
                for report in reports:
                    _say_report(report["name"], report, ctx.obj)
            return 0 if all(r["ok"] for r in reports) else 1

        raise typer.Exit(with_house(work, _with(ctx.obj, json)))


def _say_report(name: str, report: dict[str, Any], place: Place) -> None:
    if place.as_json:
        document({"name": name, **report})
    else:
        line(f"{'ok ' if report['ok'] else 'NO '} {name}: {report['text']}")


def keys(app: typer.Typer, with_house: Any) -> None:
    group = typer.Typer(no_args_is_help=True, help="Keys: who may call what.")
    app.add_typer(group, name="keys")

    @group.command("create")
    def create(
        ctx: typer.Context,
        name: Annotated[str, typer.Argument(help="Whose it is.")],
        allow: Annotated[list[str] | None, typer.Option(help="Globs over tools: 'eliza__*'.")] = None,
        role: Annotated[list[str] | None, typer.Option(help="call, admin, register.")] = None,
        agent: Annotated[str, typer.Option(help="The agent that will hold it.")] = "",
        days: Annotated[float | None, typer.Option(help="Until it expires.")] = None,
        rate: Annotated[str, typer.Option(help="How often it may call: 60/minute.")] = "",
        concurrent: Annotated[int | None, typer.Option(help="Calls at once.")] = None,
        daily: Annotated[int | None, typer.Option(help="Calls a day (of UTC).")] = None,
        view: Annotated[list[str] | None, typer.Option(help="Only the tools of this view; may be repeated.")] = None,
        patience: Annotated[float | None, typer.Option(help="Seconds that a call waits; 0: for ever.")] = None,
        json: Json = False,
    ) -> None:
        """Make a key. It is shown once."""

        async def work(here: House) -> int:
            said = {"name": name, "allow": allow or ["*"], "roles": role or ["call"], "agent": agent, "days": days}
            said |= {"rate": rate, "concurrent": concurrent, "daily": daily, "views": view or [], "patience": patience}
            made = await here.ask("POST", "/v1/keys", json=said)
            if json or ctx.obj.as_json:
                document(made)
            else:
                line(made["secret"])
                sys.stderr.write(
                    f"Key {made['id']} for '{name}'; it is not shown again. From now on, every call needs a key.\n"
                )
            return 0

        raise typer.Exit(with_house(work, _with(ctx.obj, json)))

    @group.command("list")
    def list_(ctx: typer.Context, json: Json = False) -> None:
        """All keys, without their secrets."""

        async def work(here: House) -> int:
            found = await here.ask("GET", "/v1/keys")
            if json or ctx.obj.as_json:
                document(found)
            else:
                names = ("id", "name", "allow", "views", "roles", "limits", "used", "state")
                shown = columns([_key_row(key) for key in found], *names)
                table(("key", *names[1:]), shown, "There are no keys: anybody on this machine may call.")
            return 0

        raise typer.Exit(with_house(work, _with(ctx.obj, json)))

    @group.command("revoke")
    def revoke(ctx: typer.Context, id: Annotated[str, typer.Argument(help="Its id or name.")]) -> None:
        """Revoke one; it ends at once."""

        async def work(here: House) -> int:
            await here.ask("DELETE", f"/v1/keys/{id}")
            line(f"revoked {id}")
            return 0

        raise typer.Exit(with_house(work, ctx.obj))


def _key_row(key: dict[str, Any]) -> dict[str, str]:
    ended = key["expires"] is not None and key["expires"] < time.time()
    day = f"{key['today']}/{key['daily']} a day" if key["daily"] else f"{key['today']} today" if key["today"] else ""
    at_once = f"{key['concurrent']} at once" if key["concurrent"] else ""
    waits = f"waits {key['patience']:g} s" if key["patience"] else ""
    used = time.strftime("%Y-%m-%d %H:%M", time.localtime(key["last_used"])) if key["last_used"] else "never"
    return {
        "id": key["id"], "name": key["name"], "allow": " ".join(key["allow"]), "roles": " ".join(key["roles"]),
        "views": " ".join(key["views"]), "limits": ", ".join(filter(None, (key["rate"], at_once, day, waits))),
        "used": used, "state": "revoked" if key["revoked"] else "expired" if ended else "ok",
    }  # fmt: skip


def approve(app: typer.Typer, with_house: Any) -> None:
    @app.command("approve")
    def command(
        ctx: typer.Context, name: Annotated[str, typer.Argument(help="Tool or agent.")] = "", json: Json = False
    ) -> None:
        """Take changed tools of an upstream that is not trusted; without a name, show what waits."""

        async def work(here: House) -> int:
            if name:
                found = await here.ask("POST", f"/v1/pending/{name}/approve", json={})
            else:
                found = await here.ask("GET", "/v1/pending")
            if json or ctx.obj.as_json:
                document(found)
            elif name:
                line("approved " + ", ".join(found))
            elif not found:
                line("Nothing waits for approval.")
            else:
                for one in found:
                    _difference(one)
            return 0

        raise typer.Exit(with_house(work, _with(ctx.obj, json)))


def _difference(pending: dict[str, Any]) -> None:
    import difflib

    import orjson

    old, new = (
        orjson.dumps(pending[version], option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode().splitlines()
        for version in ("old", "new")
    )
    for text in difflib.unified_diff(
        old, new, f"{pending['name']} (approved)", f"{pending['name']} (waits)", lineterm="", n=1
    ):
        line("".join(c if c.isprintable() else " " for c in text))


def pause(app: typer.Typer, with_house: Any) -> None:
    @app.command("pause")
    def command(
        ctx: typer.Context,
        agent: Annotated[str, typer.Argument()],
        off: Annotated[bool, typer.Option("--off", help="Go on.")] = False,
    ) -> None:
        """Stop an agent everywhere at once."""

        async def work(here: House) -> int:
            found = await here.ask("DELETE" if off else "PUT", f"/v1/agents/{agent}/pause")
            if ctx.obj.as_json:
                document(found)
            else:
                line(f"{agent} is {found['state']}")
            return 0

        raise typer.Exit(with_house(work, ctx.obj))


COMMANDS = (serve, add, check, keys, approve, pause)
