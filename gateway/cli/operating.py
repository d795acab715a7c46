"""`adapters`, `doctor`, `new-adapter`."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from adapters.load import Adapters
from gateway.cli.calling import Json, _with
from gateway.cli.house import House, Place, find
from gateway.cli.show import document, line, table
from gateway.settings import ConfigFault, owner_only, read


def adapters(app: typer.Typer, with_house: Any) -> None:
    @app.command("adapters")
    def command(ctx: typer.Context, json: Json = False) -> None:
        """The networks, each with its roles, and what is wrong with those that cannot be used."""

        async def work(_here: House) -> int:
            found = [_adapter(f) for f in Adapters.installed().all()]
            if json or ctx.obj.as_json:
                document(found)
            else:
                shown = [[f["name"], " ".join(f["roles"]), " ".join(f["can"]), f["fault"] or "ok"] for f in found]
                table(("network", "roles", "can", "state"), shown, "No adapters are installed.")
            return 0

        raise typer.Exit(with_house(work, _with(ctx.obj, json)))


def _adapter(found: Any) -> dict[str, Any]:
    of = found.manifest
    return {
        "name": found.name, "title": of.title if of else "", "roles": sorted(of.roles) if of else [],
        "protocols": list(of.protocols) if of else [], "can": sorted(of.can | of.calling) if of else [],
        "fault": found.fault,
    }  # fmt: skip


def doctor(app: typer.Typer, with_house: Any) -> None:
    @app.command("doctor")
    def command(ctx: typer.Context, json: Json = False) -> None:
        """Look over the whole installation, and say how to mend what is wrong."""

        async def work(_here: House) -> int:
            found = examine(ctx.obj)
            if json or ctx.obj.as_json:
                document([{"what": what, "ok": ok, "said": said} for what, ok, said in found])
            else:
                for what, ok, said in found:
                    line(f"{'ok ' if ok else 'NO '} {what}: {said}")
            return 0 if all(ok for _, ok, _ in found) else 1

        raise typer.Exit(with_house(work, _with(ctx.obj, json)))


def examine(place: Place) -> list[tuple[str, bool, str]]:
    """What was looked at, whether it is well, and what to do where it is not."""
    found = [("python", sys.version_info >= (3, 11), ".".join(map(str, sys.version_info[:3])))]
    for one in Adapters.installed().all():
        found.append((f"adapter {one.name}", not one.fault, one.fault or (one.manifest.title if one.manifest else "")))
    try:
        settings = read(place.config)
    except ConfigFault as fault:
        return [*found, ("settings", False, str(fault))]
    text = str(place.config) if place.config.exists() else f"{place.config} is not there; the defaults are used"
    found.append(("settings", True, text))
    for name, said in settings.upstreams.items():
        known = {f.name for f in Adapters.installed().all()}
        if said.network not in known:
            found.append(
                (
                    f"upstream {name}",
                    False,
                    f"no network is called '{said.network}'; there are: {', '.join(sorted(known))}",
                )
            )
        if said.key and not said.key.startswith(("env:", "file:", "command:")):
            found.append((f"upstream {name}", False, 'its key stands in the file; better: key = "env:NAME"'))
    seal = settings.data_dir / "seal.key"
    try:
        found.append(("sealing key", True, str(owner_only(seal)) if seal.exists() else "made at the first start"))
    except ConfigFault as fault:
        found.append(("sealing key", False, str(fault)))
    url, _ = find(place)
    found.append(("server", True, f"running at {url}" if url else "not running; start it with: doolittle serve"))
    return found


def new_adapter(app: typer.Typer, with_house: Any) -> None:
    @app.command("new-adapter")
    def command(
        ctx: typer.Context,
        name: Annotated[str, typer.Argument(help="The network, such as morse.")],
        folder: Annotated[Path, typer.Option(help="Where the package is written.")] = Path(),
    ) -> None:
        """Write the package of a new network, which passes the conformance suite as it is."""

        async def work(_here: House) -> int:
            from adapters.scaffold import write

            written = write(name, folder)
            if ctx.obj.as_json:
                document([str(path) for path in written])
            else:
                for path in written:
                    line(str(path))
                line(f"\nNext: pip install -e {written[0].parent} && pytest {written[0].parent}")
            return 0

        raise typer.Exit(with_house(work, ctx.obj))


COMMANDS = (adapters, doctor, new_adapter)
