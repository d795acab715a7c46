"""Finds adapters by entry point (group `doolittle.adapters`), and reads their manifests without importing them.

`manifest.toml`, beside the package that the entry point names:

    name = "morse"                        # the network; the entry point has the same name
    title = "Morse telegraph"
    roles = ["outbound", "inbound"]       # one or both
    protocols = ["morse/1"]               # versions spoken, newest first
    extra = "morse"                       # the extra of doolittle that installs what it needs, if there is one
    requires = ["morse-sdk>=3,<4"]        # distributions it needs
    hops = "header"                       # header | meta | message | inferred: how the chain of a call travels
    can = ["stream", "cancel"]            # of CAN below; what is not listed, the adapter does not do
    inbound_can = ["stream", "ask"]       # where the inbound role can other things than the outbound one
    [trust]                               # messages from this network: authenticated, bound, replay_proof
    authenticated = true
    [commands]                            # words after `doolittle`, each "module:function" (adapters.spi.Command) and
                                          # what it does; "publish morse" is the command `publish`, for this network
    morse-key = "doolittle_morse.key:command Make a key."
"""

import difflib
import importlib.util
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import Any, cast

from packaging.requirements import InvalidRequirement, Requirement

from adapters.errors import BadArguments, Unknown
from adapters.spi import Adapter, Manifest

GROUP = "doolittle.adapters"
CAN = frozenset({
    "stream", "progress", "cancel", "ask", "resume", "find", "changes", "conversation", "register",
    "engine", "forget",
})  # fmt: skip
ROLES = frozenset({"outbound", "inbound"})
HOPS = frozenset({"header", "meta", "message", "inferred"})
TRUST = frozenset({"authenticated", "bound", "replay_proof"})
KEYS = frozenset({
    "name", "title", "roles", "protocols", "extra", "requires", "hops", "can", "inbound_can", "trust", "commands",
})  # fmt: skip


@dataclass(slots=True)
class Found:
    """An entry point: its manifest, or a `fault` that says what is wrong and how to mend it."""

    name: str
    manifest: Manifest | None
    fault: str = ""
    entry: EntryPoint | None = field(default=None, repr=False)
    _adapter: Adapter | None = field(default=None, repr=False)

    def load(self) -> Adapter:
        """The adapter, imported on first use. Raises `BadArguments` with the fault."""
        if self._adapter is None:
            if self.fault or self.entry is None:
                raise BadArguments(self.fault)
            try:
                self._adapter = cast("Adapter", self.entry.load())
            except Exception as fault:
                self.fault = f"the adapter '{self.name}' cannot be imported: {type(fault).__name__}: {fault}"
                raise BadArguments(self.fault) from fault
        return self._adapter


class Adapters:
    """All adapters of this environment, by name."""

    def __init__(self, found: Iterable[Found]) -> None:
        self._found: dict[str, Found] = {}
        for one in sorted(found, key=lambda f: f.name):
            if one.name in self._found:
                where = one.entry.value if one.entry else "?"
                one = Found(
                    f"{one.name} ({where})", None, f"another adapter is called '{one.name}' already; rename one"
                )
            self._found[one.name] = one

    @classmethod
    def installed(cls) -> "Adapters":
        """Those of the entry points; read once a process."""
        return cls(_discover())

    def all(self) -> list[Found]:
        return list(self._found.values())

    def find(self, name: str) -> Found:
        """Raises `Unknown` with the nearest name."""
        if name not in self._found:
            near = difflib.get_close_matches(name, self._found, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(self._found)}"
            raise Unknown(f"no network is called '{name[:40]}'; {hint}")
        return self._found[name]


@cache
def _discover() -> tuple[Found, ...]:
    return tuple(read(entry) for entry in entry_points(group=GROUP))


def read(entry: EntryPoint) -> Found:
    """The manifest behind an entry point; the package above it is imported at most, never the adapter itself."""
    try:
        folder = _folder(entry.module)
        parsed = tomllib.loads((folder / "manifest.toml").read_text())
        manifest = parse(parsed, folder)
        if manifest.name != entry.name:
            raise ValueError(f"manifest.toml: 'name' is '{manifest.name}', but the entry point is '{entry.name}'")
    except tomllib.TOMLDecodeError as fault:
        return Found(entry.name, None, f"the adapter '{entry.name}' is broken: manifest.toml: {fault}", entry)
    except Exception as fault:  # noqa: BLE001 - one broken adapter must not hide the others
        return Found(entry.name, None, f"the adapter '{entry.name}' is broken: {fault}", entry)
    return Found(entry.name, manifest, missing(manifest), entry)


def _folder(module: str) -> Path:
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(f"there is no package '{module}'")
    return Path(next(iter(spec.submodule_search_locations)))


def parse(said: Mapping[str, Any], folder: Path) -> Manifest:
    """The manifest in a parsed TOML document. Raises `ValueError` naming the key."""
    if strange := said.keys() - KEYS:
        raise ValueError(f"manifest.toml: unknown key '{sorted(strange)[0]}'; known are {', '.join(sorted(KEYS))}")
    for key in ("name", "title"):
        if not isinstance(said.get(key), str) or not said[key]:
            raise ValueError(f"manifest.toml: '{key}' is a text")
    trust = said.get("trust", {})
    if not isinstance(trust, dict) or not trust.keys() <= TRUST:
        raise ValueError(f"manifest.toml: 'trust' has {', '.join(sorted(TRUST))}, each true or false")
    hops = said.get("hops", "inferred")
    if hops not in HOPS:
        raise ValueError(f"manifest.toml: 'hops' is one of {', '.join(sorted(HOPS))}")
    roles = _words(said, "roles", ROLES)
    if not roles:
        raise ValueError("manifest.toml: 'roles' names at least one of outbound, inbound")
    return Manifest(
        name=said["name"], title=said["title"], roles=cast("Any", roles), protocols=tuple(said.get("protocols", ())),
        extra=said.get("extra", ""), requires=tuple(said.get("requires", ())), hops=hops,
        can=_words(said, "can", CAN), trust=trust,
        inbound_can=_words(said, "inbound_can", CAN) if "inbound_can" in said else None,
        commands=said.get("commands", {}), folder=folder,
    )  # fmt: skip


def _words(said: Mapping[str, Any], key: str, known: frozenset[str]) -> frozenset[str]:
    words = said.get(key, [])
    if not isinstance(words, list) or not set(map(str, words)) <= known:
        raise ValueError(f"manifest.toml: '{key}' is a list of {', '.join(sorted(known))}")
    return frozenset(map(str, words))


def missing(manifest: Manifest) -> str:
    """What must be installed, with the line that does; empty if nothing must."""
    for text in manifest.requires:
        try:
            wanted = Requirement(text)
            if version(wanted.name) in wanted.specifier:
                continue
            said = f"needs {text}, and {version(wanted.name)} is installed"
        except PackageNotFoundError:
            said = f"needs {text}"
        except InvalidRequirement as fault:
            return f"the adapter '{manifest.name}' is broken: manifest.toml: 'requires': {fault}"
        line = f"pip install 'doolittle[{manifest.extra}]'" if manifest.extra else f"pip install '{text}'"
        return f"the adapter '{manifest.name}' {said}; install it with: {line}"
    return ""
