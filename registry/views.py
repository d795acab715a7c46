"""Views: what of the tools is shown, and under which names."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import Connection, delete, insert, select

from registry import names, tables
from registry.model import Tool, View

SHOWN = re.compile(r"[a-zA-Z0-9_-]{1,64}\Z")
MOST = 1000
"""Patterns and renames of one view."""
LONGEST = 200
"""Characters of one pattern."""
ALL = "all"
"""The name under which everything is shown: no view may have it."""


class ViewFault(ValueError):
    """A view that cannot be; the text says why."""


@lru_cache(maxsize=65536)
def fits(patterns: tuple[str, ...], name: str) -> bool:
    """Whether a public tool name fits one of the glob patterns ("*", "eliza__*", "eliza__ask")."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def shows(view: View, name: str) -> bool:
    """Whether the view takes the tool of this public name."""
    return fits(view.include, name) and not fits(view.exclude, name)


def require_sound(view: View) -> None:
    """Raises `ViewFault` for what no list of tools could mend."""
    if not names.SLUG.match(view.name) or len(view.name) > names.SLUG_LENGTH or view.name == ALL:
        raise ViewFault(f"views have names like 'my-tools', at most 24 characters, not 'all'; not '{view.name[:40]}'")
    patterns = (*view.include, *view.exclude, *view.pinned)
    if max(len(patterns), len(view.renames)) > MOST or any(not 0 < len(p) <= LONGEST for p in patterns):
        raise ViewFault(f"a view has at most {MOST} patterns of 1 to {LONGEST} characters, and as many renames")
    given: dict[str, str] = {}
    for public, shown in view.renames.items():
        if not SHOWN.match(public) or not SHOWN.match(shown):
            raise ViewFault(f"tools have names of 1 to 64 letters, digits, '_' and '-'; not '{public}={shown}'"[:200])
        if given.setdefault(shown, public) != public:
            raise ViewFault(f"'{given[shown]}' and '{public}' cannot both be shown as '{shown}'")
    if view.patience is not None and not 0 <= view.patience <= 86400:
        raise ViewFault("patience is a number of seconds from 0 (for ever) to 86400")


class Window:
    """What a view shows of one list of tools, by the names that it shows. Never changed after it is made.

    A rename keeps its name to itself, also while its own tool is away: another tool of that name is `left_out`.
    """

    def __init__(self, view: View, tools: Iterable[Tool]) -> None:
        self.view = view
        renamed = {shown: public for public, shown in view.renames.items()}
        shown: dict[str, Tool] = {}
        left_out: list[str] = []
        for tool in tools:
            name = view.renames.get(tool.name, tool.name)
            if not shows(view, tool.name):
                continue
            if renamed.get(name, tool.name) != tool.name:
                left_out.append(tool.name)
            else:
                shown[name] = tool
        self._names = sorted(shown)
        self._public = {name: shown[name].name for name in self._names}
        self._tools = {n: t if t.name == n else replace(t, name=n) for n, t in ((n, shown[n]) for n in self._names)}
        self._shown = {public: name for name, public in self._public.items()}
        self.tools: tuple[Tool, ...] = tuple(self._tools.values())
        self.left_out: tuple[str, ...] = tuple(left_out)
        self.renamed: tuple[str, ...] = tuple(name for name in self._names if name in renamed)

    def find(self, name: str) -> Tool | None:
        """The tool that is shown under this name."""
        return self._tools.get(name)

    def public(self, name: str) -> str:
        """The public name behind one that is shown; what is not shown, unchanged."""
        return self._public.get(name, name)

    def of(self, public: str) -> Tool | None:
        """The tool of this public name, as it is shown; None if it is not."""
        name = self._shown.get(public)
        return None if name is None else self._tools[name]

    def nearest(self, name: str, count: int) -> list[str]:
        """Shown names that look like this one, most alike first."""
        return names.nearest(self._names, name, count)


# ---- kept ---------------------------------------------------------------------------------------------------------


def read(connection: Connection) -> dict[str, View]:
    """All views of the store, by name."""
    rows = connection.execute(select(tables.views).order_by(tables.views.c.name))
    return {row.name: document(row.name, orjson.loads(row.body)) for row in rows}


def write(connection: Connection, name: str, view: View | None) -> None:
    """Writes one in place of what was there; None: takes it away."""
    connection.execute(delete(tables.views).where(tables.views.c.name == name))
    if view is not None:
        connection.execute(insert(tables.views), [{"name": name, "body": orjson.dumps(said(view)).decode()}])


def said(view: View) -> dict[str, Any]:
    """The view as a document, without its name."""
    return {
        "description": view.description, "include": view.include, "exclude": view.exclude,
        "renames": dict(view.renames), "pinned": view.pinned, "search": view.search, "patience": view.patience,
    }  # fmt: skip


def document(name: str, of: Mapping[str, Any]) -> View:
    """The view in a document."""
    lists = {key: tuple(of[key]) for key in ("include", "exclude", "pinned")}
    rest = {key: of[key] for key in ("description", "search", "patience")}
    return View(name=name, renames=dict(of["renames"]), **lists, **rest)
