"""Envelopes made bad, the same each time: none crashes what reads them, none passes that was not signed so."""

import re
import time
from typing import Any

import pytest

from adapters.errors import GatewayError
from adapters.uagents import calling, envelopes
from adapters.uagents.signing import Signer
from gateway.testing import Box
from tests import faults
from tests.adapters.uagents.house import house
from tests.adapters.uagents.mutator import SIGNED, Mutator, Said

SEED = 20260


def good(count: int, target: str) -> list[Said]:
    senders = [Signer.fresh() for _ in range(4)]
    said = [{"tool": "echo", "args": {"text": f"{n}"}} for n in range(count)]
    made = [
        envelopes.make(senders[n % 4], target, envelopes.session(), (calling.CALL_TOOL, said[n]), 3500)
        for n in range(count)
    ]
    return [one.model_dump(mode="json") for one in made]


def wrong(good: Said, body: bytes) -> bool:
    """Whether it passed though it says something else than was signed. What is no `GatewayError` is not caught."""
    try:
        envelope = envelopes.read(body)
        envelopes.require_valid(envelope, unsigned=False)
    except GatewayError:
        return False
    said = envelope.model_dump(mode="json")
    return any(said[name] != good[name] for name in SIGNED)


def passed(count: int, seed: int) -> int:
    mutator = Mutator(good(64, Signer.fresh().address), seed)
    ends = time.time() + 3000
    made = 0
    for original, body in mutator.many(count):
        made += wrong(original, body)
        assert time.time() < ends, "the good ones must stay good all along"
    return made


def test_twenty_thousand_pass_nothing() -> None:
    found = passed(20_000, SEED)
    faults.add("uagents/mutated-passed", ok=found == 0, value=found, note="of 20,000 mutated envelopes")
    assert found == 0


def test_the_mutator_finds_what_a_looser_check_lets_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were fields of any length, borders between them could be moved."""
    monkeypatch.setattr(envelopes, "DIGEST", re.compile(r".*", re.DOTALL))
    monkeypatch.setattr(envelopes, "BASE64", re.compile(r".*", re.DOTALL))
    assert passed(20_000, SEED) > 0


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_a_million_pass_nothing() -> None:
    found = passed(1_000_000, SEED + 1)
    faults.add("uagents/mutated-passed", ok=found == 0, value=found, note="of 1,000,000 mutated envelopes")
    assert found == 0


async def test_at_the_face_each_is_answered_and_none_is_called(box: Box) -> None:
    """400, or the answer to one whose signed part was left as it was."""
    home = await house(box)
    originals = good(16, home.address)
    answered: dict[int, int] = {}
    seen: set[Any] = set()
    for original, body in Mutator(originals, SEED + 2).many(400):
        response = await home.post(body)
        answered[response.status_code] = answered.get(response.status_code, 0) + 1
        if response.status_code == 200:
            assert not wrong(original, body)
            seen.add(original["nonce"])
    assert set(answered) <= {200, 400}, answered
    assert answered[400] > 200
    assert home.far.seen["deliver"] == len(seen), "each signed content once"
