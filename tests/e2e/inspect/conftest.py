"""One stand for the tests of this room."""

from collections.abc import AsyncIterator

import pytest

from tests.e2e.inspect.stand import Stand, standing


@pytest.fixture(scope="session")
async def stand(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    async with standing(tmp_path_factory.mktemp("stand")) as made:
        yield made
