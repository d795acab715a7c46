"""An operator's settings, read as a model of an adapter's own."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from adapters.errors import BadArguments

M = TypeVar("M", bound=BaseModel)


def read(kind: type[M], said: Mapping[str, Any], where: str) -> M:
    """Raises `BadArguments` that names each setting which cannot be, and shows no value: it may be a secret."""
    try:
        return kind.model_validate(dict(said))
    except ValidationError as fault:
        each = fault.errors(include_url=False, include_input=False, include_context=False)
        told = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in each)
        raise BadArguments(f"{where}: {told}") from None
