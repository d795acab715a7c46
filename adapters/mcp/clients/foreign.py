"""A server in a client's words, as an upstream in ours. Pure, but for the environment that it is handed."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from adapters.mcp.clients.platform import Platform

VARIABLE = re.compile(r"\$\{(?:(env|input|file):)?([^}:]+)(?::-([^}]*))?\}")
NAME = re.compile(r"[A-Za-z_]\w*\Z")
TELLING = re.compile(r"key|token|secret|passw|auth|bearer", re.IGNORECASE)
REFERENCES = ("env:", "file:", "command:")
LENGTH = 24


class Untranslatable(Exception):
    """This server cannot be one of ours; the text says why, without a secret in it."""


@dataclass(frozen=True, slots=True)
class Found:
    """What `Upstream` wants. `secrets` are the places where what may be one stands as it is."""

    url: str = field(default="", repr=False)
    key: str = field(default="", repr=False)
    command: tuple[str, ...] = field(default=(), repr=False)
    options: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    secrets: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """The program, or the URL without what may be secret in it."""
        if self.command:
            return self.command[0]
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def legal(name: str) -> str:
    """The name as upstreams have them; what must be cut ends in a hash of the whole."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "server"
    if len(plain) <= LENGTH:
        return plain
    mark = hashlib.sha256(name.encode()).hexdigest()[:4]
    return f"{plain[: LENGTH - 5].strip('-')}-{mark}"


def read(entry: Any, platform: Platform) -> Found:
    """Raises `Untranslatable`."""
    if not isinstance(entry, dict):
        raise Untranslatable("it is not an object")
    if entry.get("disabled") is True or entry.get("enabled") is False:
        raise Untranslatable("it is switched off there")
    if str(entry.get("type", entry.get("transport", ""))).lower() == "sse":
        raise Untranslatable("it speaks the old transport with two URLs (sse)")
    url = entry.get("url") or entry.get("serverUrl") or entry.get("httpUrl")
    if isinstance(url, str):
        return _remote(_plain(url, "its URL", platform), _table(entry, "headers"), platform)
    return _local(entry, platform)


def _remote(url: str, headers: Mapping[str, str], platform: Platform) -> Found:
    if not url.startswith(("http://", "https://")):
        raise Untranslatable("its URL is none of HTTP")
    kept: dict[str, str] = {}
    key = ""
    for name, value in headers.items():
        if name.lower() == "authorization" and value[:7].lower() == "bearer ":
            key = _secret(value[7:].strip(), f"the header '{name}'", platform)
        else:
            kept[name] = _secret(value, f"the header '{name}'", platform)
    open_ = [f"headers.{name}" for name, value in kept.items() if not value.startswith("env:")]
    open_ += ["key"] if key and not key.startswith("env:") else []
    open_ += ["url"] if urlsplit(url).query or "@" in urlsplit(url).netloc else []
    return Found(url, key, options={"headers": kept}, secrets=tuple(open_))


def _local(entry: Mapping[str, Any], platform: Platform) -> Found:
    command, args = entry.get("command"), entry.get("args", [])
    if entry.get("envFile"):
        raise Untranslatable("it reads its environment from a file (envFile)")
    if isinstance(command, dict):  # Zed, as it was
        command, args = command.get("path"), command.get("args", [])
    if not isinstance(command, str) or not command or not isinstance(args, list):
        raise Untranslatable("it has neither a URL nor a command")
    argv = tuple(_plain(str(word), "its command", platform) for word in (command, *args))
    env = {name: _secret(value, f"env '{name}'", platform) for name, value in _table(entry, "env").items()}
    cwd = _plain(str(entry.get("cwd") or ""), "its folder", platform)
    open_ = [f"env.{name}" for name, value in env.items() if not value.startswith("env:")]
    open_ += ["command"] if any(TELLING.search(word) for word in argv[1:]) else []
    return Found(command=argv, options={"env": env, "cwd": cwd}, secrets=tuple(open_))


def _table(entry: Mapping[str, Any], name: str) -> dict[str, str]:
    said = entry.get(name)
    inner = entry.get("command")
    if said is None and isinstance(inner, dict):
        said = inner.get(name)
    return {str(k): _text(v) for k, v in said.items() if v is not None} if isinstance(said, dict) else {}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _secret(value: str, where: str, platform: Platform) -> str:
    """The value, or a reference where the client has one. Raises `Untranslatable`."""
    whole = VARIABLE.fullmatch(value)
    if whole and whole[1] in (None, "env") and NAME.match(whole[2]) and whole[3] is None and whole[2] != "HOME":
        return f"env:{whole[2]}"
    said = _plain(value, where, platform)
    if said.startswith(REFERENCES):
        raise Untranslatable(f"{where} would be taken for a reference")
    return said


def _plain(value: str, where: str, platform: Platform) -> str:
    """The value with the variables of clients filled in. Raises `Untranslatable` for one that nobody here knows."""
    known = {
        "userHome": str(platform.home), "HOME": str(platform.home), "/": "/", "pathSeparator": "/",
        "workspaceFolder": str(platform.folder), "cwd": str(platform.folder),
    }  # fmt: skip

    def filled(found: re.Match[str]) -> str:
        kind, name, otherwise = found.groups()
        if kind in (None, "env") and (name in platform.env or name in known):
            return platform.env.get(name) or known.get(name, "")
        if otherwise is not None:
            return str(otherwise)
        asks = "asks for it each time" if kind == "input" else "is not known here"
        raise Untranslatable(f"{where} holds the variable {found[0][:60]}, which {asks}")

    return VARIABLE.sub(filled, value)
