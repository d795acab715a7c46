"""`views list|show|set|remove`."""

from typing import Annotated, Any

import typer

from adapters.errors import BadArguments, Unknown
from gateway.cli.calling import Json, _with
from gateway.cli.house import House, columns
from gateway.cli.show import document, line, table

Words = Annotated[list[str] | None, typer.Option(help="Globs over public names, such as 'eliza__*'.")]
HELP = "Views: named filters over the tools, with renames."
NO_VIEWS = "There are no views. Make one: doolittle views set NAME --include 'eliza__*'"
OWN = ("description", "include", "exclude", "renames", "pinned", "search", "patience")
"""What a view is made of, as `/v1` takes it."""


def views(app: typer.Typer, with_house: Any) -> None:
    group = typer.Typer(no_args_is_help=True, help=HELP)
    app.add_typer(group, name="views")
    for command in (_list, _show, _set, _remove):
        command(group, with_house)


def _list(group: typer.Typer, with_house: Any) -> None:
    @group.command("list")
    def command(ctx: typer.Context, json: Json = False) -> None:
        """The views, where each is from, and how many tools it shows."""

        async def work(here: House) -> int:
            found = await here.ask("GET", "/v1/views")
            if json or ctx.obj.as_json:
                document(found)
            else:
                shown = columns(found, "name", "origin", "tools", "description")
                table(("view", "origin", "tools", "description"), shown, NO_VIEWS)
            return 0

        raise typer.Exit(with_house(work, _with(ctx.obj, json)))


def _show(group: typer.Typer, with_house: Any) -> None:
    @group.command("show")
    def command(ctx: typer.Context, name: Annotated[str, typer.Argument()], json: Json = False) -> None:
        """One view: what it takes, and the names that it shows."""

        async def work(here: House) -> int:
            found = await here.ask("GET", f"/v1/views/{name}")
            if json or ctx.obj.as_json:
                document(found)
            else:
                _say(found)
            return 0

        raise typer.Exit(with_house(work, _with(ctx.obj, json)))


def _say(view: dict[str, Any]) -> None:
    line(f"{view['name']} ({view['origin']}) {view['description']}".rstrip())
    renames = [f"{public}={shown}" for public, shown in view["renames"].items()]
    said = {"include": view["include"], "exclude": view["exclude"], "rename": renames, "pin": view["pinned"]}
    said |= {"search": ["on"] if view["search"] else [], "shows": view["shown"], "left out": view["left_out"]}
    said |= {"patience": [] if view["patience"] is None else [f"{view['patience']:g}"]}
    for what, words in said.items():
        if words:
            line(f"  {what}: {' '.join(words)}")


def _set(group: typer.Typer, with_house: Any) -> None:
    @group.command("set")
    def command(
        ctx: typer.Context,
        name: Annotated[str, typer.Argument(help="Such as my-tools.")],
        include: Words = None,
        exclude: Words = None,
        rename: Annotated[list[str] | None, typer.Option(help="public=shown")] = None,
        pin: Annotated[list[str] | None, typer.Option(help="Globs of those shown beside the search.")] = None,
        search: Annotated[bool | None, typer.Option(help="Show tools that find and call, in place of a list.")] = None,
        patience: Annotated[float | None, typer.Option(help="Seconds that a call waits; 0: for ever.")] = None,
        description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
        json: Json = False,
    ) -> None:
        """Make a view, or change what is named here; what is not named stays as it was. '' empties a list."""

        async def work(here: House) -> int:
            renames = None if rename is None else dict(_rename(word) for word in rename if word)
            said = dict(zip(OWN, (description, include, exclude, renames, pin, search, patience), strict=True))
            said = {key: _without_blanks(value) for key, value in said.items() if value is not None}
            said = await _as_it_is(here, name) | said
            found = await here.ask("PUT", f"/v1/views/{name}", json=said)
            if json or ctx.obj.as_json:
                document(found)
            else:
                _say(found)
            return 0

        raise typer.Exit(with_house(work, _with(ctx.obj, json)))


async def _as_it_is(here: House, name: str) -> dict[str, Any]:
    try:
        found = await here.ask("GET", f"/v1/views/{name}")
    except Unknown:
        return {}
    return {key: found[key] for key in OWN}


def _without_blanks(value: Any) -> Any:
    return [word for word in value if word] if isinstance(value, list) else value


def _rename(word: str) -> tuple[str, str]:
    public, equals, shown = word.partition("=")
    if not equals:
        raise BadArguments(f"--rename '{word}' is not of the form public=shown")
    return public, shown


def _remove(group: typer.Typer, with_house: Any) -> None:
    @group.command("remove")
    def command(ctx: typer.Context, name: Annotated[str, typer.Argument()]) -> None:
        """Take a view away. Keys that are held to it alone see nothing from then on."""

        async def work(here: House) -> int:
            await here.ask("DELETE", f"/v1/views/{name}")
            line(f"removed {name}")
            return 0

        raise typer.Exit(with_house(work, ctx.obj))


COMMANDS = (views,)
