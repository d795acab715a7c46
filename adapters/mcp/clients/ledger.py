"""What we wrote into clients' files, so that the same and no more is taken out again. No secret stands in it."""

import json
from pathlib import Path
from typing import Any

from adapters.mcp.clients.platform import Platform
from adapters.mcp.clients.settings import replace


class Ledger:
    """One small file of this user's: an entry's place -> the id of the key that was made for it, or a blank."""

    def __init__(self, platform: Platform) -> None:
        self._path = platform.settings / "doolittle" / "connections.json"
        self._text = self._path.read_text() if self._path.exists() else ""
        try:
            said: Any = json.loads(self._text or "{}")
        except ValueError:
            said = {}
        self._keys: dict[str, str] = {str(k): str(v) for k, v in said.items()} if isinstance(said, dict) else {}

    def knows(self, file: Path, name: str) -> bool:
        return _place(file, name) in self._keys

    def key(self, file: Path, name: str) -> str:
        """The id of the key; blank if none was made."""
        return self._keys.get(_place(file, name), "")

    def note(self, file: Path, name: str, key: str) -> None:
        self._keys[_place(file, name)] = key
        self._write()

    def forget(self, file: Path, name: str) -> None:
        if self._keys.pop(_place(file, name), None) is not None:
            self._write()

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self._keys, indent=2, sort_keys=True) + "\n"
        replace(self._path, text, None, self._text)
        self._text = text


def _place(file: Path, name: str) -> str:
    return f"{file.resolve()}#{name}"
