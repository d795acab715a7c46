"""A store in a file of its own, and the registry on it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from registry.registry import Registry
from registry.store import Store


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[tuple[Store, Registry]]:
    store = Store(f"sqlite:///{tmp_path}/x.db")
    await store.open()
    registry = Registry(store)
    await registry.load()
    yield store, registry
    await store.close()
