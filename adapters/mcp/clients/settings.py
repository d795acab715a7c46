"""A client's file of settings: read, changed in one step, and kept as it was before our first change."""

import os
import shutil
import stat
from pathlib import Path
from typing import Any

from adapters.errors import BadArguments, Conflict
from adapters.mcp.clients import jsonc

BACKUP = ".before-doolittle"


class SettingsFile:
    """One file, as it was when it was read. Raises `BadArguments` for one that cannot be understood."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()  # a link stays one
        self.text = self._read()
        try:
            self.value: Any = jsonc.load(self.text)
        except jsonc.NotJson as fault:
            raise BadArguments(f"{path} cannot be read: {fault}; nothing was changed") from fault

    def _read(self) -> str:
        try:
            return self.path.read_bytes().decode() if self.path.exists() else ""
        except (OSError, UnicodeDecodeError) as fault:
            raise BadArguments(f"{self.path} cannot be read: {fault}; nothing was changed") from fault

    def get(self, *where: str) -> Any:
        """The value there, or None."""
        found = self.value
        for name in where:
            found = found.get(name) if isinstance(found, dict) else None
        return found

    def put(self, where: tuple[str, ...], value: Any, *, secret: bool) -> Path | None:
        """Writes the member; the backup, if one was made. With a `secret`, the file becomes its owner's alone.

        Raises `BadArguments` with what to add by hand.
        """
        try:
            text = jsonc.put(self.text, where, value)
        except jsonc.NotJson as fault:
            text = "what 'doolittle connect CLIENT --print' shows"
            raise BadArguments(f"{self.path}: {fault}; add by hand {text}") from fault
        return self._write(text, 0o600 if secret else self._mode())

    def remove(self, where: tuple[str, ...]) -> Path | None:
        """Writes the file without the member; the backup, if one was made. Raises `BadArguments`."""
        try:
            text = jsonc.remove(self.text, where)
        except jsonc.NotJson as fault:
            raise BadArguments(f"{self.path}: {fault}; remove '{'.'.join(where)}' by hand") from fault
        return self._write(text, self._mode())

    def _write(self, text: str, mode: int | None) -> Path | None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        backup = self._keep()
        replace(self.path, text, mode, self.text)
        self.text, self.value = text, jsonc.load(text)
        return backup

    def _keep(self) -> Path | None:
        """A copy, once: later changes leave it as it is."""
        backup = self.path.with_name(self.path.name + BACKUP)
        if not self.path.exists() or backup.exists():
            return None
        shutil.copy2(self.path, backup)
        return backup

    def _mode(self) -> int | None:
        return stat.S_IMODE(self.path.stat().st_mode) if self.path.exists() else None


def replace(path: Path, text: str, mode: int | None, before: str) -> None:
    """In one step, so that nobody reads half. Raises `Conflict` if the file is not as it was `before`."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    fresh.unlink(missing_ok=True)
    try:
        fresh.touch(0o666 if mode is None else 0o600)
        fresh.write_bytes(text.encode())
        if mode is not None:
            fresh.chmod(mode)
        now = path.read_bytes().decode() if path.exists() else ""
        if now != before:
            raise Conflict(f"{path} was changed by another program just now; run the command again")
        os.replace(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)
