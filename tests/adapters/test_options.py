"""Settings of an operator's: what is wrong is named, and no value is shown."""

import traceback

import pytest
from pydantic import BaseModel, ConfigDict, Field

from adapters.a2a import FaceOptions as A2aFace
from adapters.coral import FaceOptions as CoralFace
from adapters.errors import BadArguments
from adapters.options import read
from adapters.uagents import FaceOptions as UagentsFace

HIDDEN = "".join(("sk", "-", "hidden"))


class Some(BaseModel):
    model_config = ConfigDict(extra="forbid")
    key: str = Field(default="", max_length=4, repr=False)
    count: int = 1


def test_what_is_right_is_read() -> None:
    assert read(Some, {"key": "abc", "count": 2}, "here") == Some(key="abc", count=2)


def test_each_fault_is_named_and_no_value_shown() -> None:
    said = {"key": f"{HIDDEN}-1", "count": f"{HIDDEN}-2", "more": f"{HIDDEN}-3"}
    with pytest.raises(BadArguments) as found:
        read(Some, said, "[here]")
    assert found.value.public.startswith("[here]: ")
    assert all(name in found.value.public for name in ("key", "count", "more"))
    assert HIDDEN not in "".join(traceback.format_exception(found.value))


@pytest.mark.parametrize("kind", [A2aFace, CoralFace, UagentsFace])
def test_a_face_refuses_what_it_does_not_know(kind: type[BaseModel]) -> None:
    with pytest.raises(BadArguments, match="nonsense"):
        read(kind, {"nonsense": "sk-secret"}, "[networks.x]")
