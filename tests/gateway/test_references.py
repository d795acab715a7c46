"""References in the operator's file: resolved where he wrote them, nowhere else, and never shown."""

from pathlib import Path
from typing import Any

import httpx2
import pytest

from adapters.spi import Upstream
from gateway.settings import ConfigFault, UpstreamSettings, upstream
from gateway.testing import Box
from gateway.upstreams import shown


def made(home: Path, **options: Any) -> Upstream:
    return upstream("far", UpstreamSettings.model_validate({"network": "mcp", "url": "http://x/mcp", **options}), home)


def test_texts_in_tables_of_options_are_references(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_CANARY", "one")
    (tmp_path / "key").write_text("two\n")
    (tmp_path / "key").chmod(0o600)
    env = {"A": "env:A_CANARY", "B": "file:key", "C": "command:echo three", "D": "four", "E": {"F": "env:A_CANARY"}}
    found = made(tmp_path, env=env, headers={"x": "env:A_CANARY"}, era="env:A_CANARY", n=1, l=["env:A_CANARY"])
    resolved = {"A": "one", "B": "two", "C": "three", "D": "four", "E": {"F": "one"}}
    assert found.options == {
        "env": resolved, "headers": {"x": "one"}, "era": "env:A_CANARY", "n": 1, "l": ["env:A_CANARY"],
    }  # fmt: skip
    assert "one" not in repr(found), "secrets are not in what is logged"


@pytest.mark.parametrize("broken", ["env:NO_CANARY", "file:gone", "command:false"])
def test_a_reference_that_leads_nowhere_names_the_upstream(broken: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigFault, match="upstream 'far'"):
        made(tmp_path, headers={"x": broken})


async def test_over_v1_nothing_is_a_reference_and_nothing_a_command(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_CANARY", "a-secret-of-ours")
    async with httpx2.AsyncClient(base_url=await box.serve()) as client:
        said: dict[str, Any] = {"name": "w", "network": "mcp", "url": "http://127.0.0.1:9/mcp"}
        options = {"headers": {"x": "env:A_CANARY", "y": "command:echo a-secret-of-ours"}}
        assert (await client.post("/v1/upstreams", json={**said, "options": options})).status_code == 201
        assert box.gateway.upstreams.find("w").upstream.options == options
        for more in (
            {"command": ["sh"]}, {"options": {"command": ["sh"]}}, {"url": "", "options": {"command": ["sh"]}},
            {"url": "sh"}, {"url": "stdio://sh"}, {"url": "command:sh"}, {"origin": "file"},
        ):  # fmt: skip
            answer = await client.post("/v1/upstreams", json={**said, "name": "x", **more})
            assert answer.status_code == 400, more
        assert [u["name"] for u in (await client.get("/v1/upstreams")).json()] == ["w"]


def test_a_command_is_shown_without_its_secrets() -> None:
    words = (
        "npx", "-y", "server", "--token", "s1", "--api-key=s2", "--verbose", "KEY=s3", "--port", "80", "-H",
        "Bearer s4", "--header", "Authorization: s5", "--Password", "s6", "--auth", "-s8",
        "https://ann:s7@host/mcp", "--root=/srv",
    )  # fmt: skip
    assert shown(words) == (
        "npx -y server --token *** --api-key=*** --verbose KEY=*** --port 80 -H *** "
        "--header *** --Password *** --auth *** https://***@host/mcp --root=/srv"
    )
    assert shown(()) == ""
