"""`/v1/keyring`: the master seed out and back under a passphrase, and single identities made anew."""

from typing import TYPE_CHECKING

from fastapi import FastAPI
from pydantic import Field

from adapters.errors import Conflict
from gateway.api.models import Document
from gateway.api.who import Admin

if TYPE_CHECKING:
    from gateway.app import Gateway


class Rotated(Document):
    """A path that was rotated, and how often."""

    path: list[str]
    generation: int


class KeyringOut(Document):
    """The fingerprint tells one master seed from another; empty: it cannot be opened."""

    fingerprint: str
    rotated: list[Rotated]


class PathIn(Document):
    path: list[str] = Field(min_length=2, max_length=8)


class ExportIn(Document):
    passphrase: str = Field(max_length=1024)


class ExportOut(Document):
    """What `import` takes."""

    document: str


class ImportIn(Document):
    document: str = Field(max_length=2**20)
    passphrase: str = Field(max_length=1024)
    replace: bool = False


def keyring(app: FastAPI, gateway: "Gateway") -> None:
    def shown() -> KeyringOut:
        of = gateway.keyring
        return KeyringOut(
            fingerprint=of.fingerprint, rotated=[Rotated(path=list(p), generation=n) for p, n in of.rotated()]
        )

    @app.get("/v1/keyring", tags=["keyring"])
    async def show_keyring(_who: Admin) -> KeyringOut:
        """Which master seed this is, and which identities were rotated."""
        return shown()

    @app.post("/v1/keyring/rotate", tags=["keyring"])
    async def rotate_identity(said: PathIn, _who: Admin) -> KeyringOut:
        """Gives one identity a new seed: its old address on that network is no longer ours."""
        await gateway.keyring.rotate(tuple(said.path))
        return shown()

    @app.post("/v1/keyring/export", tags=["keyring"])
    async def export_keyring(said: ExportIn, _who: Admin) -> ExportOut:
        """The master seed and all generations, under a passphrase of at least 12 letters."""
        return ExportOut(document=await gateway.keyring.export(said.passphrase))

    @app.post("/v1/keyring/import", tags=["keyring"])
    async def import_keyring(said: ImportIn, _who: Admin) -> KeyringOut:
        """Takes over what was exported. All identities that hang on the present seed are lost: `replace` says so."""
        if not said.replace:
            raise Conflict("the identities of the present master seed would be lost; export it, then say --replace")
        await gateway.keyring.replace(said.document, said.passphrase)
        return shown()
