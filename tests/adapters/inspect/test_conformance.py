"""Sessions pass the suite, by the harness's own door."""

from adapters.conformance import suite
from adapters.inspect.testing import InspectFarSide

TestInspect = suite("inspect", InspectFarSide)
