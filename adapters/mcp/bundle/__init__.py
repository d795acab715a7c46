"""The bundle for Claude Desktop (.mcpb): the bridge for Node, which Desktop brings, and a manifest.

The same words always make the same bytes.
"""

import json
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from adapters.errors import BadArguments

NAME = "doolittle.mcpb"
URL = "http://127.0.0.1:8700"
HERE = Path(__file__).parent
BEGINNING = (1980, 1, 1, 0, 0, 0)
"""The first time that a zip file can name."""


def manifest(url: str) -> dict[str, Any]:
    """The manifest, with this URL as the one that Desktop offers."""
    said: dict[str, Any] = json.loads((HERE / "manifest.json").read_text())
    said["version"] = version("doolittle")
    said["user_config"]["url"]["default"] = url
    return said


def write(target: str, url: str) -> Path:
    """Writes the file, or into the folder, that is named. Raises `BadArguments` if that cannot be."""
    path = Path(target).expanduser()
    path = path / NAME if path.is_dir() else path
    files = {
        "manifest.json": json.dumps(manifest(url), indent=2).encode() + b"\n",
        "server/bridge.mjs": (HERE / "bridge.mjs").read_bytes(),
        "icon.png": (HERE / "icon.png").read_bytes(),
    }
    try:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
            for name, content in files.items():
                about = zipfile.ZipInfo(name, BEGINNING)
                about.create_system, about.external_attr = 3, 0o100644 << 16
                about.compress_type = zipfile.ZIP_DEFLATED
                packed.writestr(about, content)
    except OSError as fault:
        raise BadArguments(f"{path} cannot be written: {fault.strerror}") from fault
    return path.absolute()
