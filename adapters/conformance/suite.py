"""Builds the pytest classes."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from adapters.conformance import calls as _calls
from adapters.conformance import faults as _faults
from adapters.conformance import inbound, lists
from adapters.conformance.bench import CHECKS, Bench, Check
from adapters.conformance.far_side import Box, FarSide, NearSide, offers
from adapters.load import Adapters
from adapters.spi import Manifest

__all__ = ["inbound_suite", "suite"]
MODULES = (_calls, _faults, lists)


def manifest_of(name: str) -> Manifest:
    """Raises `ValueError` with the fault of an adapter that is not installed well."""
    found = Adapters.installed().find(name)
    if found.manifest is None or found.fault:
        raise ValueError(found.fault)
    return found.manifest


def chosen(manifest: Manifest, side: type[FarSide]) -> list[tuple[str, Check]]:
    """The checks that apply: of a need that is a word of `can`, both the manifest and the far side must have it."""
    has = manifest.can | offers(side) | {"say"}
    return [(name, function) for name, needs, function in CHECKS if needs <= has]


def suite(name: str, side: type[FarSide]) -> type:
    """A class of checks for the outbound role of the adapter of this name."""
    manifest = manifest_of(name)

    @pytest.fixture
    async def bench(_self: Any, box: Box) -> AsyncIterator[Bench]:
        far = side()
        await far.open()
        for upstream in (*far.beneath, far.upstream):
            await box.add(upstream)
        yield Bench(box, far, manifest)
        await far.close()

    body: dict[str, Any] = {"__doc__": f"The conformance suite for {manifest.title}.", "bench": bench}
    for check, function in chosen(manifest, side):
        body[f"test_{check}"] = _method(function)
    return type(f"Test{name.title()}", (), body)


def _method(function: Check) -> Any:
    async def test(_self: Any, bench: Bench) -> None:
        await function(bench)

    test.__doc__ = function.__doc__
    return test


def inbound_suite(name: str, side: type[NearSide]) -> type:
    """A class of checks for the inbound role: a client of that network in front of the fake network."""
    manifest = manifest_of(name)
    body: dict[str, Any] = {"__doc__": f"The conformance suite for callers by {manifest.title}."}
    for check, needs, function in inbound.CHECKS:
        if needs <= manifest.calling | ({"chain"} if manifest.hops != "inferred" else set()):
            body[f"test_{check}"] = _inbound(function, side)
    return type(f"TestInbound{name.title()}", (), body)


def _inbound(function: Any, side: type[NearSide]) -> Any:
    async def test(_self: Any, box: Box) -> None:
        await function(await inbound.ready(box, side))

    test.__doc__ = function.__doc__
    return test
