"""Agents of the official SDK pass the suite: each face, 0.3, and one that does not stream."""

from adapters.a2a.far_testing import A2aFarSide, OldFarSide, RestFarSide
from adapters.conformance import suite

TestRpc = suite("a2a", A2aFarSide)
TestRest = suite("a2a", RestFarSide)
TestOld = suite("a2a", OldFarSide)
