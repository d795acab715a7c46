"""Callers by chat pass the suite."""

from collections.abc import AsyncIterator

import pytest

from adapters.conformance import inbound_suite
from adapters.uagents.testing import Mouth, UagentsNearSide
from gateway.settings import NetworkSettings
from gateway.testing import Box


@pytest.fixture(autouse=True)
async def _known(box: Box) -> AsyncIterator[None]:
    """The gateway knows where the client listens, by the operator's word."""
    async with Mouth() as mouth:
        UagentsNearSide.mouth = mouth
        said = {"endpoints": {mouth.signer.address: mouth.url}}
        box.gateway.settings.networks["uagents"] = NetworkSettings.model_validate(said)
        yield


TestUagents = inbound_suite("uagents", UagentsNearSide)
