"""Servers of models as upstreams: what they have, what they are asked, what they answer."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.conformance.serving import serving
from adapters.errors import Broken, GatewayError
from adapters.openai import catalogue
from adapters.openai.completions import Assembly
from adapters.openai.far_testing import Server
from adapters.spi import Call, Caller, Error, Result, Upstream
from gateway.testing import Box


@pytest.fixture
async def far(box: Box) -> AsyncIterator[tuple[Server, str]]:
    made = Server()
    made.models = {"data": [{"id": "nomic-embed-text-v1.5"}, {"id": "big"}, {"id": "small"}]}
    async with serving(made.app) as (url, _):
        yield made, url


async def call(box: Box, tool: str, arguments: dict[str, Any], id: str = "c1", caller: Caller | None = None) -> Any:
    found = [event async for event in box.invoke(Call(id, tool, arguments, caller or box.caller))][-1]
    assert isinstance(found, Result | Error)
    return found


@pytest.mark.parametrize(
    ("url", "profile", "expected"),
    [
        ("http://127.0.0.1:8080", "", ("http://127.0.0.1:8080/v1", False)),
        ("http://127.0.0.1:8080/v1/", "", ("http://127.0.0.1:8080/v1", False)),
        ("https://example.com/openai/v2", "", ("https://example.com/openai/v2", False)),
        ("0xabc", "", ("https://0xabc.gaia.domains/v1", True)),
        ("0xabc.gaia.domains", "", ("https://0xabc.gaia.domains/v1", True)),
        ("https://llama.us.gaianet.network/v1", "", ("https://llama.us.gaianet.network/v1", True)),
        ("0xabc.gaia.domains", "plain", ("https://0xabc.gaia.domains/v1", False)),
        ("http://127.0.0.1:8080", "gaianet", ("http://127.0.0.1:8080/v1", True)),
        ("ftp://example.com", "", ("", False)),
        ("http://[::1", "", ("", False)),
        ("", "", ("", False)),
    ],
)
def test_places(url: str, profile: str, expected: tuple[str, bool]) -> None:
    assert catalogue.place(url, profile) == expected


async def test_models_by_what_they_do(box: Box, far: tuple[Server, str]) -> None:
    server, url = far
    await box.add(Upstream("far", "openai", url, options={"model": "small"}))
    tools = {tool.native: tool for tool in box.tools("far")}
    assert sorted(tools) == ["ask", "embed"]
    assert b'"default":"small","enum":["small","big"]' in tools["ask"].input_schema
    found = await call(box, "far__embed", {"texts": ["a", "bbb"]})
    assert found.structured == {"model": "nomic-embed-text-v1.5", "embeddings": [[1.0, 0.5], [3.0, 0.5]]}
    await call(box, "far__ask", {"message": "hi", "model": "big", "system": "s", "temperature": 0}, "c2")
    sent = server.bodies[-1]
    assert (sent["model"], sent["temperature"]) == ("big", 0)
    assert sent["messages"] == [{"role": "system", "content": "s"}, {"role": "user", "content": "hi"}]


async def test_a_gaianet_node_retrieves_and_says_what_its_models_are(box: Box, far: tuple[Server, str]) -> None:
    """On a stand-in: the routes are those of its documentation, POST for /v1/info."""
    server, url = far
    server.models = {"data": [{"id": "one"}, {"id": "two"}]}
    server.info = {
        "node_version": "0.5.4",
        "chat_model": {"name": "one", "type": "chat", "ctx_size": 4096},
        "embedding_model": {"name": "two", "type": "embedding"},
        "qdrant_config": {"limit": 1},
    }
    await box.add(Upstream("gaia", "openai", url, options={"profile": "gaianet"}))
    assert sorted(tool.native for tool in box.tools("gaia")) == ["ask", "embed", "retrieve"]
    found = await call(box, "gaia__retrieve", {"query": "Paris"})
    assert found.structured == {"points": [{"source": "about Paris", "score": 0.9}]}
    assert found.text == "about Paris"


async def test_a_node_without_info_is_taken_for_what_its_models_are_called(box: Box, far: tuple[Server, str]) -> None:
    _, url = far
    await box.add(Upstream("gaia", "openai", url, options={"profile": "gaianet"}))
    assert sorted(tool.native for tool in box.tools("gaia")) == ["ask", "embed", "retrieve"]


async def test_the_key_goes_along_and_is_in_no_error(box: Box, far: tuple[Server, str]) -> None:
    server, url = far
    await box.add(Upstream("far", "openai", url, "the-key-of-far"))
    await call(box, "far__ask", {"message": "hi"})
    assert server.headers[-1]["authorization"] == "Bearer the-key-of-far"


async def test_a_conversation_is_sent_again_and_bounded(box: Box, far: tuple[Server, str]) -> None:
    server, url = far
    await box.add(Upstream("far", "openai", url, options={"system": "rules"}))
    for number in range(30):
        await call(box, "far__ask", {"message": f"m{number}", "conversation": "tea"}, f"c{number}")
    sent = server.bodies[-1]["messages"]
    assert sent[0] == {"role": "system", "content": "rules"}
    assert len(sent) == 42
    assert [m["content"] for m in sent[-3:]] == ["m28", "m28", "m29"]
    await call(box, "far__ask", {"message": "x" * 90_000, "conversation": "tea"}, "long")
    await call(box, "far__ask", {"message": "last", "conversation": "tea"}, "after")
    assert sum(len(m["content"]) for m in server.bodies[-1]["messages"]) < 200_000
    other = Caller("eve", network="test")
    await call(box, "far__ask", {"message": "hi", "conversation": "tea"}, "eve", other)
    assert len(server.bodies[-1]["messages"]) == 2


async def test_the_servers_count_of_tokens_is_told(box: Box, far: tuple[Server, str]) -> None:
    server, url = far
    await box.add(Upstream("far", "openai", url))
    found = await call(box, "far__ask", {"message": "!count 3"})
    assert found.meta["usage"] == {"prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4}
    await box.add(Upstream("old", "openai", url, options={"usage": False}))
    assert "usage" not in (await call(box, "old__ask", {"message": "!count 3"}, "c2")).meta
    assert "stream_options" not in server.bodies[-1]


async def test_check_says_what_is_there_and_what_is_not(box: Box, far: tuple[Server, str]) -> None:
    server, url = far
    good = Upstream("far", "openai", url)
    assert (await box.report(good)).text == "2 chat models, 1 for embeddings; 'big' answers"
    missing = await box.report(Upstream("far", "openai", url, options={"model": "huge"}))
    assert (missing.ok, missing.text) == (False, "it has no model 'huge'; it has big, small")
    server.models = {"data": []}
    assert not (await box.report(good)).ok
    with pytest.raises(GatewayError, match="like http"):
        await box.add(Upstream("bad", "openai", "ftp://x"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["choices", "delta", "content", "index", "tool_calls", "function", "name", "usage"]), inner
    ),
    max_leaves=12,
)  # fmt: skip


@given(st.lists(st.dictionaries(st.sampled_from(["choices", "id", "usage"]), JSON), max_size=6))
def test_any_chunks_are_an_answer_or_broken(chunks: list[dict[str, Any]]) -> None:
    assembly = Assembly()
    try:
        for chunk in chunks:
            assembly.add(chunk)
        if assembly.begun:
            catalogue.answered(assembly.whole(), "far")
    except Broken:
        return
