"""`engine`, `forget`."""

from typing import Annotated, Any

import typer

from gateway.cli.calling import Json, _with
from gateway.cli.house import House
from gateway.cli.show import document, line


def engine(app: typer.Typer, with_house: Any) -> None:
    @app.command("engine")
    def command(
        ctx: typer.Context,
        agent: Annotated[str, typer.Argument(help="The agent.")],
        engine: Annotated[str, typer.Argument(help="What shall think for it; blank: show what there is.")] = "",
        json: Json = False,
    ) -> None:
        """Choose what thinks for an agent, from its next call on. Memory does not move."""

        async def work(here: House) -> int:
            path = f"/v1/agents/{agent}/engine"
            found = await (here.ask("PUT", path, json={"engine": engine}) if engine else here.ask("GET", path))
            if json or ctx.obj.as_json:
                document(found)
            else:
                chosen = found["chosen"] or "nothing yet"
                line(f"{agent} thinks by {chosen}; there are: {', '.join(found['engines']) or 'none'}")
                for name, mends in found["missing"].items():
                    line(f"not there: {name}: {mends}")
                if engine:
                    line(f"Calls that run end on the engine with which they began. {found['note']}")
            return 0

        raise typer.Exit(with_house(work, _with(ctx.obj, json)))


def forget(app: typer.Typer, with_house: Any) -> None:
    @app.command("forget")
    def command(
        ctx: typer.Context,
        caller: Annotated[str, typer.Argument(help="The caller's id, as `doolittle calls` and the audit show it.")],
        speaker: Annotated[str, typer.Option(help="Only this person, for whom that caller spoke.")] = "",
        json: Json = False,
    ) -> None:
        """Remove what agents keep of a caller, and say where that cannot be done (then the exit code is 1)."""

        async def work(here: House) -> int:
            found = await here.ask("POST", "/v1/forget", json={"caller": caller, "speaker": speaker})
            if json or ctx.obj.as_json:
                document(found)
            else:
                for report in found:
                    line(f"{'ok ' if report['ok'] else 'NO '} {report['name']}: {report['text']}")
                if not found:
                    line("No upstream keeps anything of callers.")
            return 0 if all(report["ok"] for report in found) else 1

        raise typer.Exit(with_house(work, _with(ctx.obj, json)))


COMMANDS = (engine, forget)
