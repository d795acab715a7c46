"""Writes upstreams to the operator's file, keeping its comments, and takes back what does not work."""

import os
from pathlib import Path
from typing import Any

import tomlkit

from adapters.errors import BadArguments, Conflict
from gateway.cli.house import House, Place
from gateway.settings import NAME, ConfigFault, UpstreamSettings, read, upstream


async def configure(here: House, place: Place, name: str, said: dict[str, Any]) -> dict[str, Any]:
    """Adds the upstream to the file and tries it; the report. A file that cannot be used with it is restored."""
    path = place.config
    before = path.read_text() if path.exists() else None
    _write(path, name, said)
    place.changed()
    try:
        read(path)
        upstream(name, UpstreamSettings.model_validate(said), path.parent)
        return await _try(here, name)
    except BaseException:
        _restore(path, before)
        raise


async def _try(here: House, name: str) -> dict[str, Any]:
    """Reloads the gateway that runs, or starts one in this process, and tries the new upstream."""
    if here.opened:
        await here.ask("POST", "/v1/reload", json={})
    upstreams = {u["name"]: u for u in await here.ask("GET", "/v1/upstreams")}
    if name not in upstreams:
        faults = await here.ask("GET", "/v1/faults")
        raise ConfigFault(faults.get(name, f"'{name}' cannot be used; run: doolittle doctor"))
    return dict(await here.ask("POST", f"/v1/upstreams/{name}/check", json={}))


def option(word: str) -> tuple[str, Any]:
    name, equals, value = word.partition("=")
    if not equals:
        raise BadArguments(f"--option '{word}' is not of the form key=value")
    try:
        return name, tomlkit.parse(f"x = {value}")["x"].unwrap()
    except Exception:  # noqa: BLE001 - what is not a TOML value is a text
        return name, value


def _write(path: Path, name: str, said: dict[str, Any]) -> None:
    """Raises `Conflict` for a name that is taken, `ConfigFault` for one that is none. The file keeps its mode."""
    if not NAME.match(name) or len(name) > 24:
        raise ConfigFault(f"upstream names are like 'my-agent', at most 24 characters; not '{name}'")
    whole = tomlkit.parse(path.read_text()) if path.exists() else tomlkit.document()
    upstreams = whole.setdefault("upstreams", tomlkit.table(True))
    if name in upstreams:
        raise Conflict(f"{path} has an upstream '{name}' already; change it there, or take another name")
    entry = tomlkit.table()
    for key, value in said.items():
        entry[key] = value
    upstreams[name] = entry
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    fresh.touch(0o600 if path.exists() or "key" in said else 0o666)
    fresh.write_text(tomlkit.dumps(whole))
    if path.exists():
        fresh.chmod(path.stat().st_mode)
    os.replace(fresh, path)


def _restore(path: Path, before: str | None) -> None:
    if before is None:
        path.unlink(missing_ok=True)
    else:
        path.write_text(before)
