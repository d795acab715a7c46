"""The score on a card: signed with it, there while the record has it, and of others no more than a claim."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import orjson
import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from hypothesis import given
from hypothesis import strategies as st
from jwt import PyJWK

from a2a.client.card_resolver import parse_agent_card  # isort: skip
from a2a.types import AgentCapabilities, AgentCard  # isort: skip
from a2a.utils.signing import create_signature_verifier  # isort: skip
from adapters.a2a import scores
from adapters.spi import Upstream
from gateway.testing import Box

SCORE = {
    "benchmarkScore": 0.75, "benchmark": "tau2_retail", "domain": "retail", "n": 20, "pass^k": [0.75], "seed": 1,
    "user": "scripted", "versions": {"inspect-evals": "0.26.0"}, "floor": 0.1, "ceiling": 1.0,
}  # fmt: skip


@pytest.fixture
async def http(box: Box) -> AsyncIterator[httpx2.AsyncClient]:
    await box.add(Upstream("w", "fake", "fake://scores"))
    async with httpx2.AsyncClient(base_url=await box.serve(), trust_env=False) as made:
        yield made


async def shown(http: httpx2.AsyncClient, agent: str) -> bytes:
    answer = await http.get(f"/a2a/{agent}/.well-known/agent-card.json")
    assert answer.status_code == 200
    return answer.content


async def agents(http: httpx2.AsyncClient) -> list[str]:
    return [one["slug"] for one in (await http.get("/v1/agents")).json()]


async def test_a_score_is_on_the_card_and_is_signed_with_it(box: Box, http: httpx2.AsyncClient) -> None:
    first, *_ = await agents(http)
    assert (await http.put(f"/v1/agents/{first}/benchmark", json=SCORE)).status_code == 200
    said = orjson.loads(await shown(http, first))
    (found,) = said["capabilities"]["extensions"]
    assert (found["uri"], found.get("required", False)) == (scores.URI, False)
    assert {key: found["params"][key] for key in SCORE} == SCORE
    keys = {one["kid"]: PyJWK(one) for one in (await http.get("/a2a/keys")).json()["keys"]}
    verify = create_signature_verifier(lambda kid, _jku: keys[str(kid)], ["ES256"])
    verify(parse_agent_card(said))
    said["capabilities"]["extensions"][0]["params"]["benchmarkScore"] = 1
    with pytest.raises(Exception, match="ignature"):
        verify(parse_agent_card(said))


async def test_cards_without_a_score_stay_as_they_are(box: Box, http: httpx2.AsyncClient) -> None:
    await box.add(Upstream("v", "fake", "fake://others"))
    first, second, *_ = await agents(http)
    before = {agent: await shown(http, agent) for agent in (first, second)}
    assert all(b"extensions" not in said for said in before.values())
    await http.put(f"/v1/agents/{first}/benchmark", json=SCORE)
    assert await shown(http, second) == before[second], "to the byte"
    assert await shown(http, first) != before[first]
    await http.delete(f"/v1/agents/{first}/benchmark")
    after, then = (orjson.loads(said) for said in (await shown(http, first), before[first]))
    assert len(after.pop("signatures")) == len(then.pop("signatures")) == 1
    assert after == then, "but for the signature, which is another each time"


async def test_a_newer_score_takes_its_place(box: Box, http: httpx2.AsyncClient) -> None:
    first, *_ = await agents(http)
    for reward in (0.25, 0.5):
        await http.put(f"/v1/agents/{first}/benchmark", json={**SCORE, "benchmarkScore": reward})
        (found,) = orjson.loads(await shown(http, first))["capabilities"]["extensions"]
        assert found["params"]["benchmarkScore"] == reward


async def test_a_score_on_the_card_of_others_is_their_claim(box: Box, http: httpx2.AsyncClient) -> None:
    """An agent of this gateway, met as somebody else's."""
    first, *_ = await agents(http)
    await http.put(f"/v1/agents/{first}/benchmark", json=SCORE)
    far = Upstream("far", "a2a", f"{http.base_url!s}".rstrip("/") + f"/a2a/{first}")
    await box.add(far)
    report = await box.report(far)
    assert "it claims a score of 0.75 at tau2_retail, not measured here" in report.text
    (record,) = [one for one in (await http.get("/v1/agents")).json() if one["upstream"] == "far"]
    assert (record["benchmark"], record["claimed"]["benchmarkScore"]) == (None, 0.75)
    assert b"extensions" not in await shown(http, record["slug"]), "and is not published as ours"


def a_card(params: Any) -> AgentCard:
    capabilities = {"extensions": [{"uri": scores.URI, "params": params}]}
    return AgentCard(name="x", capabilities=ParseDict(capabilities, AgentCapabilities()))


JSON = st.recursive(
    st.none() | st.booleans() | st.text(max_size=9) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(["benchmarkScore", "benchmark", "domain", "n", "floor", "at", "other"])


@given(st.dictionaries(NAMES, JSON | st.floats(0, 1), max_size=6))
def test_whatever_a_card_says_a_claim_has_one_shape(params: dict[str, Any]) -> None:
    found = scores.claimed(a_card(params))
    if found is None:
        return
    score = found["benchmarkScore"]
    assert isinstance(score, float)
    assert 0 <= score <= 1
    assert isinstance(found["benchmark"], str)
    assert "other" not in found
    assert all(isinstance(value, str | float) and value == value for value in found.values())


@pytest.mark.parametrize("score", [-0.1, 1.1, True, "1", None, float("nan"), float("inf")])
def test_a_score_that_is_none_is_no_claim(score: Any) -> None:
    made = a_card({"benchmark": "x"})
    made.capabilities.extensions[0].params.update({"benchmarkScore": score})
    assert scores.claimed(made) is None


def test_a_card_without_the_extension_claims_nothing() -> None:
    other = AgentCard(name="x")
    assert scores.claimed(other) is None
    assert MessageToDict(other) == {"name": "x"}
