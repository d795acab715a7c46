"""The machine, as far as clients' settings depend on it."""

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from adapters.errors import BadArguments

System: TypeAlias = Literal["macos", "windows", "linux"]


@dataclass(frozen=True, slots=True)
class Platform:
    """`folder` is where projects' files are looked for; `started` is how this program was called."""

    system: System
    home: Path
    env: Mapping[str, str]
    folder: Path
    started: str = "doolittle"

    @classmethod
    def here(cls) -> "Platform":
        names: dict[str, System] = {"darwin": "macos", "win32": "windows"}
        return cls(names.get(sys.platform, "linux"), Path.home(), os.environ, Path.cwd(), sys.argv[0])

    @property
    def settings(self) -> Path:
        """Where programs of this system keep their settings."""
        match self.system:
            case "macos":
                return self.home / "Library" / "Application Support"
            case "windows":
                return self._said("APPDATA", self.home / "AppData" / "Roaming")
            case "linux":
                return self.dotted

    @property
    def dotted(self) -> Path:
        """The folder of settings where programs follow Linux's habit."""
        return self._said("XDG_CONFIG_HOME", self.home / ".config")

    @property
    def packages(self) -> Path:
        """Where Windows keeps the folders of packaged programs."""
        return self._said("LOCALAPPDATA", self.home / "AppData" / "Local") / "Packages"

    def _said(self, name: str, otherwise: Path) -> Path:
        said = self.env.get(name, "")
        return Path(said) if said and Path(said).is_absolute() else otherwise

    @property
    def command(self) -> str:
        """The whole path of the command `doolittle`, for clients that have another PATH. Raises `BadArguments`."""
        name = "doolittle.exe" if self.system == "windows" else "doolittle"
        beside = Path(sys.executable).parent / name
        for path in (Path(self.started), beside):
            if path.name == name and path.is_absolute() and path.is_file():
                return str(path)
        found = shutil.which("doolittle", path=self.env.get("PATH"))
        if found is None:
            raise BadArguments("the command 'doolittle' is not on the PATH, and the client must be told where it is")
        return str(Path(found).absolute())
