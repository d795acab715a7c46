"""May this caller do this? Allowed is what every principal along the chain of delegation may."""

from fnmatch import fnmatchcase
from functools import lru_cache

from adapters.errors import Denied
from adapters.spi import Caller


@lru_cache(maxsize=65536)
def allows(patterns: tuple[str, ...], name: str) -> bool:
    """Whether a public tool name fits one of the glob patterns ("*", "eliza__*", "eliza__ask")."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def may(caller: Caller, name: str) -> bool:
    """Whether the caller, and all on whose behalf it acts, may call the tool of this name."""
    return all("call" in c.roles and allows(c.allow, name) for c in caller.chain())


def require(caller: Caller, name: str) -> None:
    """Raises `Denied`, the same whether or not the tool exists."""
    if not may(caller, name):
        raise Denied(
            f"this key may not call '{name}'; the operator grants it with: doolittle keys create --allow '{name}'"
        )


def require_role(caller: Caller, role: str) -> None:
    """Raises `Denied` unless every principal of the chain has the role."""
    if not all(role in c.roles for c in caller.chain()):
        raise Denied(f"this needs a key with the role '{role}'; make one with: doolittle keys create --role {role}")
