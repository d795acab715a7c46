"""The `doolittle` command. Exit codes: 0 well · 1 the far side or the gateway failed · 2 words or settings are wrong ·
3 not reached or busy · 4 not allowed · 130 interrupted. With `--json`, one document on standard output."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from adapters.errors import BadArguments, GatewayError
from adapters.load import Adapters
from gateway.cli import calling, engines, keyring, managing, operating, views
from gateway.cli.house import House, Place, exit_code, house
from gateway.cli.show import say
from gateway.settings import ConfigFault
from gateway.telemetry import start_log
from registry.store import StoreFault

app = typer.Typer(
    no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False,
    help="The gateway that lets agents of any network call agents of any other.",
)  # fmt: skip
Loop = Callable[[], asyncio.AbstractEventLoop]


class Target(NamedTuple):
    """A command of an adapter's: "module:function", its network, and what it does."""

    function: str
    network: str
    does: str


@app.callback()
def begin(
    ctx: typer.Context,
    config: Annotated[Path, typer.Option(envvar="DOOLITTLE_CONFIG", help="The operator's file.")] = Path(
        "doolittle.toml"
    ),
    url: Annotated[str, typer.Option(envvar="DOOLITTLE_URL", help="A running gateway, elsewhere.")] = "",
    key: Annotated[str, typer.Option(envvar="DOOLITTLE_KEY", help="Your key for it.")] = "",
    json: Annotated[bool, typer.Option("--json", help="Answer with JSON.")] = False,
) -> None:
    ctx.obj = Place(config, url, key, json)


def with_house(work: Callable[[House], Awaitable[int]], place: Place, loop: Loop | None = None) -> int:
    """Runs the work of a command; its faults become a sentence on standard error and an exit code."""

    async def inside() -> int:
        try:
            async with house(place) as here:
                try:
                    return await work(here)
                except GatewayError as fault:  # inside: a task group around it would wrap it
                    say(fault.public, place, fault.problem())
                    return exit_code(fault)
        except (ConfigFault, StoreFault) as fault:
            say(str(fault), place, {"detail": str(fault), "code": "config_fault"})
            return 2

    start_log("warning")
    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(inside())


def run() -> None:
    """The entry point."""
    rooms = (calling, managing, engines, keyring, views, operating)
    for command in (command for room in rooms for command in room.COMMANDS):
        command(app, with_house)
    _of_adapters()
    try:
        sys.exit(app(standalone_mode=True))
    except KeyboardInterrupt:
        sys.exit(130)


def _of_adapters() -> None:
    """The commands that adapters bring: the module is imported when one is used. A name of two words is a command that
    several networks have: the second says which."""
    shared: dict[str, dict[str, Target]] = {}
    for found in Adapters.installed().all():
        for name, target in (found.manifest.commands if found.manifest else {}).items():
            word, _, which = name.partition(" ")
            function, _, does = target.partition(" ")
            shared.setdefault(word, {})[which] = Target(function, found.name, does)
    for word, targets in shared.items():
        _adapter_command(word, targets)


def _chosen(words: list[str], targets: dict[str, Target]) -> tuple[Target, list[str]]:
    """Raises `BadArguments` where the first word is none of the networks."""
    if "" in targets:
        return targets[""], words
    if not words or words[0] not in targets:
        raise BadArguments(f"name the network first: {', '.join(sorted(targets))}")
    return targets[words[0]], words[1:]


def _adapter_command(name: str, targets: dict[str, Target]) -> None:
    settings = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
    told = "; ".join(f"{which}: {one.does}".removesuffix(".") if which else one.does for which, one in targets.items())

    @app.command(name, context_settings=settings, help=told or "A command of an adapter.")
    def command(ctx: typer.Context) -> None:
        async def work(here: House) -> int:
            from importlib import import_module

            target, words = _chosen(ctx.args, targets)
            module, _, attribute = target.function.partition(":")
            found = Adapters.installed().find(target.network)
            if found.fault:
                raise ConfigFault(found.fault)
            function: Any = getattr(import_module(module), attribute)
            return int(await function(await here.door(), words))

        ctx.obj.as_json = ctx.obj.as_json or "--json" in ctx.args
        raise typer.Exit(with_house(work, ctx.obj))
