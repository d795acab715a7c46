"""The fake network passes the suite: three lines, as for a stranger."""

from adapters.conformance import suite
from adapters.fake.testing import FakeFarSide

TestFake = suite("fake", FakeFarSide)
