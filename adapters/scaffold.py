"""`doolittle new-adapter NAME`: the package of a new network, made from the templates in `adapters/template`."""

import keyword
import re
from pathlib import Path

from adapters.errors import BadArguments

TEMPLATE = Path(__file__).parent / "template"


def write(name: str, folder: Path) -> list[Path]:
    """Writes `doolittle-NAME` into the folder; the files, `pyproject.toml` first.

    Raises `BadArguments` for a name that is none, or a folder that is there.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]{1,19}", name) or keyword.iskeyword(name):
        raise BadArguments(f"a network's name is 2 to 20 of a-z and 0-9, and starts with a letter; not '{name[:40]}'")
    target = folder / f"doolittle-{name}"
    if target.exists():
        raise BadArguments(f"{target} is there already")
    written: list[Path] = []
    for source in sorted(TEMPLATE.rglob("*.txt")):
        place = str(source.relative_to(TEMPLATE))[: -len(".txt")].replace("network", name)
        path = target / place
        path.parent.mkdir(parents=True, exist_ok=True)
        text = source.read_text().replace("@name@", name).replace("@Name@", name.capitalize())
        path.write_text(text)
        written.append(path)
    return sorted(written, key=lambda path: path.name != "pyproject.toml")
