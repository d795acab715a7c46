"""`/v1/views`: named filters over the tools, with renames."""

from typing import TYPE_CHECKING

from fastapi import FastAPI

from adapters.errors import BadArguments, Conflict, Unknown
from adapters.spi import Caller, View
from gateway import policy
from gateway.api import models as m
from gateway.api.who import Admin, Anybody
from registry.registry import Registry
from registry.views import ViewFault

if TYPE_CHECKING:
    from gateway.app import Gateway


def views(app: FastAPI, gateway: "Gateway") -> None:
    registry = gateway.registry

    def line(name: str, who: Caller) -> m.ViewLine:
        catalog = gateway.catalog.view(name, who)
        return m.view_line(catalog.seen, registry.is_declared(name), len(catalog.tools(who)))

    @app.get("/v1/views", tags=["views"])
    async def list_views(who: Anybody) -> list[m.ViewLine]:
        """The views that this key may use, each with how many tools it shows to it."""
        return [line(name, who) for name in registry.snapshot.views if policy.may_use(who, name)]

    @app.get("/v1/views/{name}", tags=["views"])
    async def get_view(name: str, _who: Admin) -> m.ViewOut:
        """One view. `left_out` are tools whose name a rename has taken."""
        return out(registry, name)

    @app.put("/v1/views/{name}", tags=["views"])
    async def put_view(name: str, said: m.ViewIn, _who: Admin) -> m.ViewOut:
        """Makes a view, or another in its place."""
        own(registry, name)
        made = View(
            name, said.description, tuple(said.include), tuple(said.exclude), said.renames, tuple(said.pinned),
            said.search, said.patience,
        )  # fmt: skip
        try:
            await registry.put_view(made)
        except ViewFault as fault:
            raise BadArguments(str(fault)) from fault
        return out(registry, name)

    @app.delete("/v1/views/{name}", tags=["views"], status_code=204)
    async def delete_view(name: str, _who: Admin) -> None:
        """Takes a view away. Keys that are held to it alone see nothing from then on."""
        own(registry, name)
        if not await registry.delete_view(name):
            raise Unknown(f"no view is called '{name[:40]}'")


def own(registry: Registry, name: str) -> None:
    """Raises `Conflict` for a view of the operator's file."""
    if registry.is_declared(name):
        raise Conflict(f"the view '{name[:40]}' stands in the operator's file; change it there")


def out(registry: Registry, name: str) -> m.ViewOut:
    window = registry.snapshot.window(name)
    if window is None:
        raise Unknown(f"no view is called '{name[:40]}'")
    return m.view_out(window, registry.is_declared(name))
