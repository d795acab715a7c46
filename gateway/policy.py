"""May this caller do this? Allowed is what every principal along the chain of delegation may."""

from collections.abc import Mapping
from typing import Protocol

from adapters.errors import Denied
from adapters.spi import Caller, View
from registry.views import fits, shows

Views = Mapping[str, View]
AGENT = "agent:"
"""What stands in `Agent.only` before an agent's slug."""


class Known(Protocol):
    """What the rules look at of a snapshot."""

    @property
    def views(self) -> Views: ...
    @property
    def only(self) -> Mapping[str, tuple[str, ...]]: ...


def may(caller: Caller, name: str, known: Known) -> bool:
    """Whether the caller, and all on whose behalf it acts, may call the tool of this public name.

    Who is held to views may call what one of them takes; a view that is gone takes nothing. An agent that is there for
    some only is there for these, and for who acts on behalf of one of them. What is a part of the agent that calls is
    that agent's own: it alone must be allowed it, and only in its own call, not in those of whom it has called.
    """
    if known.only and (only := known.only.get(name.partition("__")[0])) and not _among(caller, only):
        return False
    views = known.views
    bound = (caller,) if name in caller.parts else caller.chain()
    return all("call" in c.roles and fits(c.allow, name) and _within(c, name, views) for c in bound)


def _among(caller: Caller, only: tuple[str, ...]) -> bool:
    ids = [c.id for c in caller.chain() if not c.id.startswith(AGENT)]
    return any(name in only for name in (*ids, *(AGENT + c.agent for c in caller.chain() if c.agent)))


def _within(caller: Caller, name: str, views: Views) -> bool:
    return not caller.views or any(v in views and shows(views[v], name) for v in caller.views)


def require(caller: Caller, name: str, known: Known) -> None:
    """Raises `Denied`, the same whether or not the tool exists."""
    if not may(caller, name, known):
        raise Denied(
            f"this key may not call '{name}'; the operator grants it with: doolittle keys create --allow '{name}'"
        )


def may_use(caller: Caller, view: str) -> bool:
    """Whether every principal of the chain may look through the view of this name."""
    return all(not c.views or view in c.views for c in caller.chain())


def require_role(caller: Caller, role: str) -> None:
    """Raises `Denied` unless every principal of the chain has the role."""
    if not all(role in c.roles for c in caller.chain()):
        raise Denied(f"this needs a key with the role '{role}'; make one with: doolittle keys create --role {role}")
