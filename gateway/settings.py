"""`doolittle.toml`: what the operator says. Every key is checked; a fault names the file and the line."""

import difflib
import ipaddress
import os
import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from adapters.spi import Upstream, View
from registry.views import ViewFault, require_sound

Parsed: TypeAlias = dict[str, Any]
NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*\Z")


class ConfigFault(Exception):
    """Something in the operator's settings is wrong; the text says where, what, and how to mend it."""


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ServerSettings(Section):
    """Where the gateway listens, and whom it believes."""

    host: str = Field("127.0.0.1", description="Address to listen on. Another than loopback needs keys.")
    port: int = Field(8700, ge=0, le=65535, description="Port; 0 takes a free one.")
    base_url: str = Field("", description="Where others reach this gateway, if not at host and port.")
    allowed_hosts: tuple[str, ...] = Field((), description="Further host names that a Host header may carry.")
    allowed_origins: tuple[str, ...] = Field((), description="Origins of web pages that may call.")
    max_body: int = Field(4 * 2**20, ge=1024, description="Bytes of one request's body.")
    transport: Literal["fast", "plain"] = Field("fast", description="How upstreams over HTTP are reached.")
    drain: float = Field(20, ge=0, description="Seconds that running calls get to end after SIGTERM.")


class CallSettings(Section):
    """How long a call may take, and how long it is kept."""

    deadline: float = Field(300, gt=0, description="Seconds for a call whose caller names no deadline.")
    keep: float = Field(3600, ge=0, description="Seconds for which an ended call can be read by its caller.")
    keep_count: int = Field(10_000, ge=1, description="Ended calls kept at most.")
    ask_expiry: float = Field(600, gt=0, description="Seconds in which a question back can be answered.")


class LimitSettings(Section):
    """How often."""

    rate: str = Field("", description='Calls for each caller, as "600/minute"; empty: no limit.')
    concurrent: int = Field(512, ge=1, description="Calls running at once, over all callers.")
    audit_queue: int = Field(10_000, ge=1, description="Audit lines that may wait; beyond, calls are refused.")

    @field_validator("rate")
    @classmethod
    def _known_rate(cls, said: str) -> str:
        if said:
            from limits import parse_many  # imported only where there is a limit

            try:
                (one,) = parse_many(said)
                if one.amount < 1:
                    raise ValueError(said)
            except ValueError as fault:
                raise ValueError('write it as "600/minute" or "10/second"') from fault
        return said


class PatienceSettings(Section):
    """How long clients wait for an answer, by the name that they give themselves."""

    clients: dict[str, float] = Field(
        default_factory=dict[str, float], description="Seconds by client name (globs); 0: for ever."
    )


class RefreshSettings(Section):
    """How the catalogue is kept fresh."""

    every: float = Field(60, gt=0, description="Seconds between two lists of one upstream.")
    timeout: float = Field(30, gt=0, description="Seconds that one list may take.")


class RegistrationSettings(Section):
    """Agents that register themselves, with a key of the role `register`."""

    networks: tuple[str, ...] = Field((), description='Private networks where they may be, as "10.0.0.0/8"; else none.')
    lease: float = Field(60, gt=0, description="Seconds after which one that does not renew is degraded.")
    most: int = Field(100, ge=0, description="How many one key may hold.")

    @field_validator("networks")
    @classmethod
    def _known_networks(cls, said: tuple[str, ...]) -> tuple[str, ...]:
        for one in said:
            ipaddress.ip_network(one)
        return said

    @property
    def allowed(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        return tuple(ipaddress.ip_network(one) for one in self.networks)


class ViewSettings(Section):
    """A named filter over the tools, with renames."""

    description: str = Field("", max_length=2000, description="What it is for.")
    include: tuple[str, ...] = Field(("*",), description="Globs over the public names of tools.")
    exclude: tuple[str, ...] = Field((), description="Globs of those that it leaves out.")
    renames: dict[str, str] = Field(default_factory=dict[str, str], description="Public name = the one it shows.")
    pinned: tuple[str, ...] = Field((), description="Globs of those that are shown beside the search.")
    search: bool = Field(False, description="Show tools that find and call, in place of a long list.")
    patience: float | None = Field(None, ge=0, le=86400, description="Seconds that a call waits; 0: for ever.")


class UpstreamSettings(BaseModel):
    """One place that the gateway reaches. Keys beyond these are the network's own options."""

    model_config = ConfigDict(extra="allow", frozen=True)

    network: str = Field(description="Which adapter speaks to it.")
    url: str = Field("", description="Where it is.")
    key: str = Field("", description='Its key: "env:NAME", "file:PATH", "command:LINE", or the key itself.')
    command: tuple[str, ...] = Field((), description="A child process in place of a URL.")
    trusted: bool = Field(True, description="False: changed tools wait for `doolittle approve`.")


class NetworkSettings(BaseModel):
    """How one network's face behaves. Keys beyond these are the network's own."""

    model_config = ConfigDict(extra="allow", frozen=True)

    admit: tuple[str, ...] = Field((), description="Globs of its identities that may call once there are keys.")
    allow: tuple[str, ...] = Field(("*",), description="Globs over public names of the tools that they may call.")
    key: str = Field("", description="A secret of the network's own, written as those of upstreams.")

    def options(self, home: Path) -> dict[str, Any]:
        """What the adapter gets: the network's own keys, secrets resolved. Raises `ConfigFault`."""
        said = {name: _referred(value, home) if isinstance(value, dict) else value for name, value in self._own()}
        return said | ({"key": secret(self.key, home)} if self.key else {})

    def _own(self) -> list[tuple[str, Any]]:
        return list((self.model_extra or {}).items())


class Settings(Section):
    """The whole file."""

    data_dir: Path = Field(Path(".doolittle"), description="Database, keys and locks; relative to the file.")
    database: str = Field("", description="SQLAlchemy URL; empty: SQLite in data_dir.")
    seal_key: str = Field("", description='32 bytes as hex: "env:", "file:" or "command:"; empty: data_dir/seal.key.')
    log: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")
    server: ServerSettings = ServerSettings.model_construct()
    calls: CallSettings = CallSettings.model_construct()
    limits: LimitSettings = LimitSettings.model_construct()
    refresh: RefreshSettings = RefreshSettings.model_construct()
    registration: RegistrationSettings = RegistrationSettings.model_construct()
    patience: PatienceSettings = PatienceSettings()
    views: dict[str, ViewSettings] = Field(default_factory=dict[str, ViewSettings])
    upstreams: dict[str, UpstreamSettings] = Field(default_factory=dict[str, UpstreamSettings])
    networks: dict[str, NetworkSettings] = Field(default_factory=dict[str, NetworkSettings])

    def declared(self) -> list[View]:
        """The views of the file."""
        return [View(name=name, **dict(said)) for name, said in self.views.items()]

    @property
    def database_url(self) -> str:
        return self.database or f"sqlite:///{self.data_dir / 'doolittle.db'}"


def read(path: Path | None) -> Settings:
    """The settings in `path` (None, or a file that is not there: the defaults, beside the working directory).

    Raises `ConfigFault`.
    """
    home = path.parent if path else Path()
    try:
        text = path.read_text() if path and path.exists() else ""
    except (OSError, UnicodeDecodeError) as fault:
        raise ConfigFault(f"{path} cannot be read: {fault}") from fault
    try:
        parsed = tomllib.loads(text)
        settings = Settings.model_validate(parsed)
    except tomllib.TOMLDecodeError as fault:
        raise ConfigFault(f"{path}: {fault}") from fault
    except ValidationError as fault:
        raise ConfigFault("\n".join(_explain(e, text, path) for e in fault.errors())) from fault
    for name in settings.upstreams:
        if not NAME.match(name) or len(name) > 24:
            where = line_of(text, ("upstreams", name))
            raise ConfigFault(
                f"{path}:{where}: upstream names are like 'my-agent', at most 24 characters; not '{name}'"
            )
    for view in settings.declared():
        try:
            require_sound(view)
        except ViewFault as fault:
            raise ConfigFault(f"{path}:{line_of(text, ('views', view.name))}: {fault}") from fault
    return settings.model_copy(update={"data_dir": (home / settings.data_dir).resolve()})


def _explain(fault: Any, text: str, path: Path | None) -> str:
    where = tuple(str(p) for p in fault["loc"])
    said = fault["msg"]
    if fault["type"] == "extra_forbidden":
        near = difflib.get_close_matches(where[-1], _known(where[:-1]), 1)
        said = f"unknown key '{where[-1]}'" + (f"; did you mean '{near[0]}'?" if near else "")
        where_text = ".".join(where[:-1]) or "the top level"
        return f"{path}:{line_of(text, where)}: {said} (in {where_text})"
    return f"{path}:{line_of(text, where)}: {'.'.join(where)}: {said}"


def _known(where: tuple[str, ...]) -> list[str]:
    model: type[BaseModel] = Settings
    for part in where:
        kind = model.model_fields[part].annotation if part in model.model_fields else None
        of_many = {"views": ViewSettings, "networks": NetworkSettings}.get(where[0], UpstreamSettings)
        model = kind if isinstance(kind, type) and issubclass(kind, BaseModel) else of_many
    return list(model.model_fields)


def line_of(text: str, where: tuple[str, ...]) -> int:
    """The line (from 1) on which the key stands, or the table that should hold it; 1 if neither is found."""
    table: tuple[str, ...] = ()
    best = 1
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if header := re.match(r"\[+\s*([^\]]+?)\s*\]+", stripped):
            table = _split(header[1])
            best = number if table == where[: len(table)] else best
            if table == where:
                return number
        elif key := re.match(r"""([A-Za-z0-9_."'\- ]+?)\s*=""", stripped):
            full = (*table, *_split(key[1]))
            if full == where[: len(full)]:
                return number
    return best


def _split(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


def secret(reference: str, home: Path) -> str:
    """What a reference stands for: "env:NAME", "file:PATH" (owner-only), "command:LINE"; other text is the secret.

    Raises `ConfigFault` without the secret in it.
    """
    kind, _, rest = reference.partition(":")
    try:
        return _resolved(kind, rest, reference, home)
    except (OSError, ValueError, IndexError, subprocess.TimeoutExpired) as fault:
        said = fault.strerror if isinstance(fault, OSError) else type(fault).__name__
        raise ConfigFault(f"the secret '{kind}:{rest.partition(' ')[0]}' cannot be read: {said}") from fault


def _resolved(kind: str, rest: str, reference: str, home: Path) -> str:
    if kind == "env":
        if rest not in os.environ:
            raise ConfigFault(f"the environment variable {rest} is not set")
        return os.environ[rest]
    if kind == "file":
        return owner_only(home / rest).read_text().strip()
    if kind == "command":
        done = subprocess.run(shlex.split(rest), capture_output=True, text=True, timeout=30, check=False)
        if done.returncode:
            raise ConfigFault(f"the command for a secret ended with {done.returncode}: {shlex.split(rest)[0]}")
        return done.stdout.strip()
    return reference


def owner_only(path: Path) -> Path:
    """The path, if nobody but its owner may read it. Raises `ConfigFault` otherwise."""
    if not path.exists():
        raise ConfigFault(f"{path} does not exist")
    if os.name == "posix" and path.stat().st_mode & 0o077:
        raise ConfigFault(f"{path} can be read by others; run: chmod 600 {path}")
    return path


def upstream(name: str, said: UpstreamSettings, home: Path) -> Upstream:
    """The upstream as adapters know it, its key and the references in its tables resolved. Raises `ConfigFault`."""
    try:
        key = secret(said.key, home) if said.key else ""
        options = {
            option: _referred(value, home) if isinstance(value, dict) else value
            for option, value in (said.model_extra or {}).items()
        }
    except ConfigFault as fault:
        raise ConfigFault(f"upstream '{name}': {fault}") from fault
    return Upstream(
        name=name,
        network=said.network,
        url=said.url,
        secret=key,
        command=said.command,
        options=options,
        trusted=said.trusted,
    )


def _referred(value: Any, home: Path) -> Any:
    """What stands in a table of options, its texts resolved as keys are. Raises `ConfigFault`."""
    if isinstance(value, dict):
        return {name: _referred(inner, home) for name, inner in value.items()}
    return secret(value, home) if isinstance(value, str) else value
