"""What we wrote into clients' files, so that the same and no more is taken out again. No secret stands in it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from adapters.mcp.clients import programs
from adapters.mcp.clients.platform import Platform
from adapters.mcp.clients.settings import replace


@dataclass(frozen=True, slots=True)
class Written:
    """Where our entry leads (URL or command), and the id of the key that was made for it, or a blank."""

    to: str
    key: str


class Ledger:
    """One small file of this user's, by the places of our entries."""

    def __init__(self, platform: Platform) -> None:
        self._path = platform.settings / "doolittle" / "connections.json"
        self._text = self._path.read_text() if self._path.exists() else ""
        try:
            said: Any = json.loads(self._text or "{}")
            self._entries = {str(place): Written(one["to"], one["key"]) for place, one in said.items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            self._entries = {}

    def find(self, file: Path, name: str) -> Written | None:
        return self._entries.get(_place(file, name))

    def wrote(self, file: Path, name: str, entry: Any) -> bool:
        """Whether the entry is the one that we wrote, by where it leads."""
        found = self.find(file, name)
        return found is not None and isinstance(entry, dict) and programs.leads(entry) == found.to

    def note(self, file: Path, name: str, written: Written) -> None:
        self._entries[_place(file, name)] = written
        self._write()

    def forget(self, file: Path, name: str) -> None:
        if self._entries.pop(_place(file, name), None) is not None:
            self._write()

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        said = {place: asdict(one) for place, one in self._entries.items()}
        text = json.dumps(said, indent=2, sort_keys=True) + "\n"
        replace(self._path, text, None, self._text)
        self._text = text


def _place(file: Path, name: str) -> str:
    return f"{file.resolve()}#{name}"
