"""The durable map of an adapter: many changes are written together, or none is."""

from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from adapters.errors import Full
from gateway.testing import Box


async def test_changes_are_written_together(box: Box) -> None:
    state, other = (box.gateway._host(name).state("x") for name in ("one", "two"))
    await state.put("a", b"old")
    await other.put("a", b"theirs")
    await state.write({"a": b"new", "b": b"1", "c": None})
    assert await state.items() == [("a", b"new"), ("b", b"1")]
    await state.write({"a": None, "b": None})
    await state.write({})
    assert await state.items() == []
    assert await other.items() == [("a", b"theirs")]


async def test_or_not_at_all(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    state = box.gateway._host("one").state("x")
    await state.put("a", b"old")
    broken: Any = {"a": b"new", "b": object()}
    with pytest.raises(Full, match="takes no writes"):
        await state.write(broken)
    assert await state.items() == [("a", b"old")]

    async def refuse(_work: Any) -> Any:
        raise OperationalError("insert", {}, Exception("disk full"))

    monkeypatch.setattr(box.gateway.store, "run", refuse)
    with pytest.raises(Full) as caught:
        await state.write({"a": None})
    assert caught.value.detail == "disk full"
