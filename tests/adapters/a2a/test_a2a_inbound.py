"""The official client passes the suite of the inbound role."""

from adapters.a2a.testing import A2aNearSide
from adapters.conformance import inbound_suite

TestA2a = inbound_suite("a2a", A2aNearSide)
