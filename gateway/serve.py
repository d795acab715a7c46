"""The process: socket, signals, drain, and the file by which the command line finds a running server."""

import asyncio
import fcntl
import gc
import json
import os
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import structlog
import uvicorn

from adapters.spi import ASGI
from gateway.app import Gateway
from gateway.border import loopback
from gateway.settings import ConfigFault, Settings

try:
    import uvloop
except ImportError:  # on Windows
    uvloop = None

log = structlog.get_logger()
RUN_FILE = "run.json"


def settle() -> None:
    """What stands by now stays: the collector need not look at it again, nor as often as its usual counts have it. Kept
    calls are many objects, and a look at all of them takes a tenth of a second."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


def new_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """How the event loop of a server is made: uvloop's, half the cost of asyncio's own, where there is one."""
    return None if uvloop is None else uvloop.new_event_loop


class Taken(ConfigFault):
    """Another process works in this data directory."""


@contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """One process per data directory. Raises `Taken` if another holds it."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (data_dir / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as fault:
            raise Taken(f"another doolittle works in {data_dir}; stop it, or set another data_dir") from fault
        yield


class Uvicorn(uvicorn.Server):
    """Ends as soon as it is told to, where uvicorn looks ten times a second. Its ticks keep the date of answers."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._told = asyncio.Event()

    def end(self, *, at_once: bool = False) -> None:
        """`at_once`: without waiting for what is being answered."""
        self.should_exit, self.force_exit = True, at_once
        self._told.set()

    async def main_loop(self) -> None:
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._told.wait()


class Server:
    """A gateway on a socket."""

    def __init__(self, settings: Settings, config_file: Path | None = None) -> None:
        self._settings = settings
        self._config_file = config_file
        self._stop = asyncio.Event()

    async def run(self, on_ready: Callable[[Gateway], None] | None = None) -> None:
        """Serves until SIGTERM or SIGINT (or `stop`), then drains. Raises `ConfigFault`."""
        said = self._settings.server
        sock = bind(said.host, said.port)
        host, port = sock.getsockname()[:2]
        gateway = Gateway(self._settings, config_file=self._config_file)
        gateway.base_url = gateway.base_url or f"http://{f'[{host}]' if ':' in host else host}:{port}"
        with sock:
            async with gateway:
                if not loopback(said.host) and not gateway.keys.exist:
                    raise ConfigFault(
                        f"{said.host} is not loopback, and there are no keys: anybody could call. "
                        "Make one first: doolittle keys create me --role call --role admin"
                    )
                async with gateway.faces() as app:
                    await self._serve(gateway, app, sock, on_ready)

    async def _serve(
        self, gateway: Gateway, app: ASGI, sock: socket.socket, on_ready: Callable[[Gateway], None] | None
    ) -> None:
        server = Uvicorn(_config(app, self._settings))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        with run_file(gateway):
            serving = asyncio.create_task(server._serve([sock]), name="uvicorn")
            while not server.started and not serving.done():
                await asyncio.sleep(0.005)
            settle()
            if on_ready and not serving.done():
                on_ready(gateway)
            stopping = asyncio.create_task(self._stop.wait(), name="stop")
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            gateway.ready = False
            cut = await gateway.calls.drain(self._settings.server.drain)
            if cut:
                log.warning("calls were cut at the end of the drain", calls=cut)
            server.end()
            await serving

    def stop(self) -> None:
        self._stop.set()


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises `ConfigFault` in the user's words; the port is never moved silently."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else an answer waits 40 ms for an ACK
        sock.bind((host, port))
        sock.listen(2048)
    except OSError as fault:
        sock.close()
        raise ConfigFault(f"cannot listen on {host}:{port}: {fault.strerror}; set another server.port") from fault
    sock.setblocking(False)
    return sock


def _config(app: ASGI, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=5,
        h11_max_incomplete_event_size=65536,
        proxy_headers=False,
    )


@contextmanager
def run_file(gateway: Gateway, secret: str = "", *, passing: bool = False) -> Iterator[None]:
    """Tells the owner's command line where this server is, and gives it a secret of its own.

    `passing`: it ends with the command that it serves, and its address is none to be written down.
    """
    path = gateway.settings.data_dir / RUN_FILE
    secret = secret or secrets.token_urlsafe(32)
    gateway.keys.admit_master(secret)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump({"url": gateway.base_url, "pid": os.getpid(), "secret": secret, "passing": passing}, file)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


@asynccontextmanager
async def beside(gateway: Gateway) -> AsyncIterator[str]:
    """Serves the faces on a free port of loopback while the context is open, in a task of its own; the URL."""
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()

    async def serve() -> None:  # in one task from first to last, as the scopes inside the faces demand
        with bind("127.0.0.1", 0) as sock:
            gateway.base_url = f"http://127.0.0.1:{sock.getsockname()[1]}"
            async with gateway.faces() as app:
                server = Uvicorn(_config(app, gateway.settings))
                task = asyncio.create_task(server._serve([sock]), name="uvicorn")
                while not server.started and not task.done():
                    await asyncio.sleep(0.002)
                ready.set_result(gateway.base_url)
                await stop.wait()
                server.end(at_once=True)
                await task

    task = asyncio.create_task(serve(), name="served")
    try:
        await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
        yield await ready
    finally:
        stop.set()
        await task
