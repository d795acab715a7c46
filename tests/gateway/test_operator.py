"""What the operator does: settings, keys, sealing, egress, upstreams, the server as a process, the command."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.errors import Denied, Expired, Unauthenticated
from adapters.spi import Evidence, Upstream
from gateway.egress import Egress, public
from gateway.keys import Wanted
from gateway.seal import Seal, load
from gateway.settings import ConfigFault, line_of, owner_only, read, secret
from gateway.testing import Box

# ---- settings ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[server]\nport = 1\nhots = 'x'\n", ":3: unknown key 'hots'; did you mean 'host'?"),
        ("[server]\n\nport = 'x'\n", ":3: server.port"),
        ("logg = 'x'\n", ":1: unknown key 'logg'; did you mean 'log'?"),
        ("[upstreams.Bad_Name]\nnetwork = 'fake'\n", ":1: upstream names"),
        ("[upstreams.a]\nurl = 'x'\n", ":1: upstreams.a.network"),
        ("a = ", "doolittle.toml"),
    ],
)
def test_a_fault_names_the_file_and_the_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "doolittle.toml"
    path.write_text(text)
    with pytest.raises(ConfigFault) as fault:
        read(path)
    assert said in str(fault.value)
    assert "doolittle.toml" in str(fault.value)


@given(st.text(), st.lists(st.text(), max_size=3))
def test_looking_for_a_line_never_fails(text: str, where: list[str]) -> None:
    assert line_of(text, tuple(where)) >= 1


def test_secrets_by_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", "one")
    path = tmp_path / "key"
    path.write_text("two\n")
    path.chmod(0o600)
    assert [secret(r, tmp_path) for r in ("env:A_KEY", "file:key", "command:echo three", "four")] == [
        "one",
        "two",
        "three",
        "four",
    ]
    path.chmod(0o644)
    for broken in ("env:NO_KEY", "file:key", "file:gone", "command:false"):
        with pytest.raises(ConfigFault):
            secret(broken, tmp_path)


# ---- sealing -----------------------------------------------------------------------------------------------------


@given(st.binary(max_size=200), st.text(max_size=20))
def test_what_is_sealed_opens_for_its_purpose_only(plain: bytes, purpose: str) -> None:
    seal = Seal(bytes(32))
    sealed = seal.seal(plain, purpose)
    assert seal.open(sealed, purpose) == plain
    assert seal.seal(plain, purpose) != sealed
    for bad in (sealed[:-1], sealed[:-1] + bytes([sealed[-1] ^ 1]), b"", b"\x01" + bytes(40)):
        with pytest.raises(Expired):
            seal.open(bad, purpose)
    with pytest.raises(Expired):
        seal.open(sealed, purpose + "x")
    with pytest.raises(Expired):
        Seal(b"x" * 32).open(sealed, purpose)


def test_the_key_file_is_its_owners(tmp_path: Path) -> None:
    first = load("", tmp_path)
    assert (tmp_path / "seal.key").stat().st_mode & 0o777 == 0o600
    assert load("", tmp_path).open(first.seal(b"x", "y"), "y") == b"x"
    (tmp_path / "seal.key").chmod(0o640)
    with pytest.raises(ConfigFault, match="chmod 600"):
        load("", tmp_path)
    with pytest.raises(ConfigFault):
        owner_only(tmp_path / "gone")


# ---- keys --------------------------------------------------------------------------------------------------------


async def test_keys_live_expire_and_end(box: Box) -> None:
    keys = box.gateway.keys
    assert keys.bearer("", "http").id == "local"
    key, value = await keys.create(Wanted("ann", ("a__*",)))
    caller = await keys.authenticate(Evidence("http", "bearer", value))
    assert (caller.name, caller.allow, caller.network) == ("ann", ("a__*",), "http")
    with pytest.raises(Unauthenticated):
        keys.bearer("", "http")
    _, old = await keys.create(Wanted("old", days=1e-9))
    await asyncio.sleep(0.001)
    with pytest.raises(Unauthenticated, match="expired"):
        keys.bearer(old, "http")
    await keys.revoke(key.id)
    for bad in (value, value + "x", "dk_"):
        with pytest.raises(Unauthenticated):
            keys.bearer(bad, "http")
    await keys.revoke("old")
    with pytest.raises(Unauthenticated):
        keys.bearer("", "http")
    kept = b"".join(path.read_bytes() for path in box.folder.rglob("*") if path.is_file())
    assert value.encode() not in kept


# ---- egress ------------------------------------------------------------------------------------------------------

PRIVATE = (
    "127.0.0.1 127.8.8.8 0.0.0.0 10.1.2.3 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 192.0.2.1 224.0.0.1 "
    "255.255.255.255 240.0.0.1 198.18.0.1 ::1 :: fe80::1 fe80::1%eth0 fc00::1 fd00:ec2::254 ff02::1 ::ffff:127.0.0.1 "
    "::ffff:10.0.0.1 64:ff9b::7f00:1 2002:7f00:1::1 2001:0:7f00:1::1 2001:db8::1"
)


@pytest.mark.parametrize("address", PRIVATE.split())
def test_private_addresses_are_not_public(address: str) -> None:
    assert not public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_public_addresses_are(address: str) -> None:
    assert public(address)


@pytest.fixture
async def inside() -> AsyncIterator[str]:
    """A server on loopback that redirects to another origin of itself."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        port = server.sockets[0].getsockname()[1]
        to = b"location: http://localhost:%d/\r\n" % port if b"GET /away" in head else b""
        writer.write(
            b"HTTP/1.1 %b\r\n%bcontent-length: 2\r\nconnection: close\r\n\r\nok"
            % (b"302 Found" if to else b"200 OK", to)
        )
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


async def test_only_the_configured_origin_of_a_private_address_is_reached(inside: str) -> None:
    egress = Egress()
    async with egress.client(inside) as client:
        assert (await client.get(inside + "/x")).text == "ok"
        for url in (
            inside.replace("127.0.0.1", "localhost"),
            inside.replace("127.0.0.1", "127.1"),
            "http://[::1]:1/",
            "http://2130706433/",
        ):
            with pytest.raises(Denied):
                await client.get(url)
        with pytest.raises(Denied):
            await client.get(inside + "/away", follow_redirects=True)
        for url in ("file:///etc/passwd", "ftp://127.0.0.1/"):
            with pytest.raises((Denied, httpx2.UnsupportedProtocol)):
                await client.get(url)
    async with egress.client() as stranger:
        with pytest.raises(Denied):
            await stranger.get(inside)
    await egress.aclose()


# ---- upstreams ---------------------------------------------------------------------------------------------------


async def test_an_upstream_over_v1_is_sealed_kept_and_removed(box: Box) -> None:
    async with httpx2.AsyncClient(base_url=await box.serve()) as client:
        said: dict[str, Any] = {"name": "w", "network": "fake", "url": "fake://v1", "key": "a-secret-of-theirs"}
        assert (await client.post("/v1/upstreams", json=said)).json()["up"] is True
        assert (await client.post("/v1/upstreams", json=said)).status_code == 409
        assert (await client.post("/v1/upstreams", json={**said, "name": "x", "command": ["sh"]})).status_code == 400
        assert (await client.post("/v1/upstreams", json={**said, "name": "x", "network": "fkae"})).status_code == 404
        assert (await client.post("/v1/upstreams", json={**said, "name": "x", "options": {"no": 1}})).status_code == 400
        shown = (await client.get("/v1/upstreams")).text
        assert "a-secret" not in shown
        kept = b"".join(path.read_bytes() for path in box.folder.rglob("*") if path.is_file())
        assert b"a-secret-of-theirs" not in kept
    await box.restart()
    assert box.gateway.upstreams.find("w").upstream.secret == "a-secret-of-theirs"
    await box.gateway.upstreams.remove("w")
    assert not box.tools("w")


async def test_a_dead_upstream_delays_and_hides_nothing_else(box: Box) -> None:
    from adapters.fake.world import world

    world("fake://dead").away = True
    await box.add(Upstream("dead", "fake", "fake://dead"))
    await box.add(Upstream("well", "fake", "fake://well"))
    assert box.degraded("dead")
    assert box.tools("well")
    world("fake://dead").away = False
    await box.refresh("dead")
    assert box.tools("dead")


# ---- the process -------------------------------------------------------------------------------------------------


class Process:
    """`doolittle serve` on a free port, in a folder of its own."""

    def __init__(self, folder: Path, *, text: str = '[upstreams.w]\nnetwork = "fake"\nurl = "fake://w"\n') -> None:
        self.folder = folder
        (folder / "doolittle.toml").write_text(text)
        self._serving: asyncio.subprocess.Process | None = None

    async def start(self) -> str:
        words = [sys.executable, "-m", "gateway.cli", "serve", "--port", "0"]
        self._serving = await asyncio.create_subprocess_exec(
            *words, cwd=self.folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        assert self._serving.stdout
        return (await self._serving.stdout.readline()).decode().split(" at ")[1].split()[0]

    async def end(self) -> int:
        assert self._serving
        self._serving.send_signal(signal.SIGTERM)
        return await self._serving.wait()

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "gateway.cli", *words]
        return subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, env={**os.environ, "COLUMNS": "200"}
        )


@pytest.mark.e2e
async def test_sigterm_drains(tmp_path: Path) -> None:
    process = Process(tmp_path)
    url = await process.start()
    async with httpx2.AsyncClient(base_url=url, timeout=30) as client:
        while not (await client.get("/v1/tools")).json():
            await asyncio.sleep(0.02)
        said = {"arguments": {"text": "in time", "delay": 0.5}}
        call = asyncio.create_task(client.post("/v1/tools/all__echo/calls", json=said))
        while b"doolittle_calls_running 1.0" not in (await client.get("/metrics")).content:
            await asyncio.sleep(0.01)
        ended = asyncio.create_task(process.end())
        assert (await call).json()["result"]["text"] == "in time"
    assert await ended == 0
    assert not (tmp_path / ".doolittle" / "run.json").exists()


@pytest.mark.e2e
def test_the_server_refuses_what_is_unsafe(tmp_path: Path) -> None:
    process = Process(tmp_path)
    open_to_all = process.run("serve", "--host", "0.0.0.0", "--port", "0")
    assert open_to_all.returncode == 2
    assert "keys create" in open_to_all.stderr
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        said = process.run("serve", "--port", str(taken.getsockname()[1]))
    assert said.returncode == 2
    assert "cannot listen" in said.stderr


@pytest.mark.e2e
async def test_the_command_with_and_without_a_server(tmp_path: Path) -> None:
    process = Process(tmp_path, text="# a comment that stays\n")
    added = process.run("add", "fake", "world", "fake://w")
    assert (added.returncode, added.stdout.strip()) == (0, "ok  world: 1 agents")
    assert "# a comment that stays" in (tmp_path / "doolittle.toml").read_text()
    assert process.run("add", "fkae", "other", "fake://w").returncode == 2
    assert "other" not in (tmp_path / "doolittle.toml").read_text(), "what cannot be used is not written"

    async def run(*words: str) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(process.run, *words)

    for serving in (False, True):
        if serving:
            await process.start()
        while not json.loads((await run("--json", "tools")).stdout):
            await asyncio.sleep(0.05)
        assert (await run("call", "all__echo", "text=hi")).stdout == "hi\n"
        assert json.loads((await run("call", "all__add", "a=1", "b=2")).stdout) == {"sum": 3}
        assert (await run("call", "all__echo", "--json", '{"text": "j"}')).stdout == "j\n"
        assert (await run("call", "all__count", "n=2", "--stream")).stderr.count("counting") == 2
        wrong = await run("call", "all__ecko")
        assert (wrong.returncode, "all__echo" in wrong.stderr) == (2, True)
        failed = await run("call", "all__fail", "kind=refused")
        assert (failed.returncode, "refused" in failed.stderr) == (1, True)
        assert json.loads((await run("--json", "check")).stdout)[0]["ok"] is True
    assert "all" in (await run("agents")).stdout
    assert (await run("pause", "all")).stdout == "all is paused\n"
    assert (await run("call", "all__echo", "text=x")).returncode == 3
    assert (await run("pause", "all", "--off")).stdout == "all is ok\n"
    first = await run("keys", "create", "ann")
    assert first.returncode == 2, "the first key must be an admin's"
    made = await run("keys", "create", "root", "--role", "call", "--role", "admin")
    assert made.stdout.startswith("dk_")
    assert "root" in (await run("keys", "list")).stdout
    assert (await run("call", "all__echo", "text=still")).stdout == "still\n", "the owner's command needs no key"
    call = json.loads((await run("--json", "calls")).stdout)[0]["call"]
    assert "all__echo" in (await run("calls", call, "--tree")).stdout
    assert (await run("approve")).stdout == "Nothing waits for approval.\n"
    assert (await run("doctor")).returncode == 0
    assert "fake" in (await run("adapters")).stdout
    assert await process.end() == 0


@pytest.mark.e2e
async def test_hanging_up_over_http_reaches_the_far_side(tmp_path: Path) -> None:
    process = Process(tmp_path)
    url = await process.start()
    async with httpx2.AsyncClient(base_url=url, timeout=30) as client:
        while not (await client.get("/v1/tools")).json():
            await asyncio.sleep(0.02)
        with pytest.raises(httpx2.ReadTimeout):
            await client.post("/v1/tools/all__hang/calls", json={}, timeout=0.2)
        ends = time.monotonic() + 10
        while b"doolittle_calls_running 0.0" not in (await client.get("/metrics")).content:
            assert time.monotonic() < ends
            await asyncio.sleep(0.02)
    assert await process.end() == 0
