"""`keyring show|export|import|rotate`."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.calling import Json, _with
from gateway.cli.house import House
from gateway.cli.show import document, line, table
from gateway.settings import ConfigFault, secret

HELP = "The keyring: our identities on other networks, all from one master seed."
Passphrase = Annotated[str, typer.Option(help='"env:NAME", "file:PATH" or "command:LINE"; else it is asked for.')]
File = Annotated[Path, typer.Argument()]


def keyring(app: typer.Typer, with_house: Any) -> None:
    group = typer.Typer(no_args_is_help=True, help=HELP)
    app.add_typer(group, name="keyring")
    for command in (_show, _rotate, _export, _import):
        command(group, with_house)


def _show(group: typer.Typer, with_house: Any) -> None:
    @group.command("show")
    def command(ctx: typer.Context, json: Json = False) -> None:
        """Which master seed this is, and which identities were rotated."""

        async def work(here: House) -> int:
            _say(await here.ask("GET", "/v1/keyring"), json or ctx.obj.as_json)
            return 0

        raise typer.Exit(with_house(work, _with(ctx.obj, json)))


def _rotate(group: typer.Typer, with_house: Any) -> None:
    @group.command("rotate")
    def command(
        ctx: typer.Context,
        path: Annotated[list[str], typer.Argument(help="A network and an agent.")],
        json: Json = False,
    ) -> None:
        """Give one identity a new seed. Its old address is lost for good."""

        async def work(here: House) -> int:
            found = await here.ask("POST", "/v1/keyring/rotate", json={"path": path})
            _say(found, json or ctx.obj.as_json)
            return 0

        raise typer.Exit(with_house(work, _with(ctx.obj, json)))


def _export(group: typer.Typer, with_house: Any) -> None:
    @group.command("export")
    def command(ctx: typer.Context, file: File, passphrase: Passphrase = "") -> None:
        """Write the master seed to a file that only the passphrase opens."""

        async def work(here: House) -> int:
            said = {"passphrase": _passphrase(passphrase, confirm=True)}
            found = await here.ask("POST", "/v1/keyring/export", json=said)
            try:
                with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
                    out.write(found["document"])
            except OSError as fault:
                raise ConfigFault(f"{file} cannot be written: {fault.strerror}") from fault
            if ctx.obj.as_json:
                document({"file": str(file)})
            else:
                line(f"wrote {file}; without the passphrase nobody opens it, you neither")
            return 0

        raise typer.Exit(with_house(work, ctx.obj))


def _import(group: typer.Typer, with_house: Any) -> None:
    @group.command("import")
    def command(
        ctx: typer.Context,
        file: File,
        passphrase: Passphrase = "",
        replace: Annotated[bool, typer.Option(help="The identities of the present seed are lost.")] = False,
        json: Json = False,
    ) -> None:
        """Take over an exported master seed in place of the present one."""

        async def work(here: House) -> int:
            try:
                text = file.read_text()
            except (OSError, UnicodeDecodeError) as fault:
                raise ConfigFault(f"{file} cannot be read: {fault}") from fault
            said = {"document": text, "passphrase": _passphrase(passphrase, confirm=False), "replace": replace}
            _say(await here.ask("POST", "/v1/keyring/import", json=said), json or ctx.obj.as_json)
            return 0

        raise typer.Exit(with_house(work, _with(ctx.obj, json)))


def _passphrase(reference: str, *, confirm: bool) -> str:
    """Never a word of the command line itself, where others of the machine could read it. Raises `ConfigFault`."""
    if not reference:
        return str(typer.prompt("passphrase", hide_input=True, confirmation_prompt=confirm))
    if not reference.startswith(("env:", "file:", "command:")):
        raise ConfigFault('say where the passphrase is: "env:NAME", "file:PATH" or "command:LINE"')
    return secret(reference, Path())


def _say(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        document(found)
        return
    line(f"master seed {found['fingerprint'] or 'is sealed with another sealing key'}")
    rows = [[" ".join(one["path"]), str(one["generation"])] for one in found["rotated"]]
    table(("rotated", "generation"), rows, "No identity was rotated.")


COMMANDS = (keyring,)
