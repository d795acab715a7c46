"""Parked far sides: taken once, bounded in time and number, closed when nobody comes."""

import asyncio

import pytest

from adapters.errors import Expired, Full
from adapters.parking import Parking


class Lot:
    """What was closed, and a sign of it."""

    def __init__(self) -> None:
        self.closed: list[str] = []
        self.sign = asyncio.Event()

    async def close(self, thing: str) -> None:
        self.closed.append(thing)
        self.sign.set()


async def test_what_is_taken_is_not_closed() -> None:
    lot = Lot()
    parking = Parking(lot.close, seconds=60)
    key = parking.put("a")
    assert len(parking) == 1
    assert parking.take(key) == "a"
    for gone in (key, "", "nonsense"):
        with pytest.raises(Expired, match="call the tool again"):
            parking.take(gone)
    await parking.clear()
    assert lot.closed == []


async def test_what_nobody_takes_is_closed_once() -> None:
    lot = Lot()
    parking = Parking(lot.close, seconds=0.01)
    key = parking.put("a")
    await asyncio.wait_for(lot.sign.wait(), 3)
    with pytest.raises(Expired):
        parking.take(key)
    await parking.clear()
    assert lot.closed == ["a"]


async def test_places_are_bounded_and_free_again() -> None:
    lot = Lot()
    parking = Parking(lot.close, places=3, seconds=60)
    keys = [parking.put(str(n)) for n in range(3)]
    assert len(set(keys)) == 3
    with pytest.raises(Full) as full:
        parking.put("one too many")
    assert full.value.retry_after == 20
    parking.take(keys[0])
    parking.put("now it fits")
    await parking.clear()
    assert sorted(lot.closed) == ["1", "2", "now it fits"]
    assert not [t for t in asyncio.all_tasks() if t.get_name() == "parked" and not t.cancelling()]
