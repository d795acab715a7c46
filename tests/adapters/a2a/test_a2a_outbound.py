"""Agents of the official SDK pass the suite: each face, and 0.3."""

from adapters.a2a.far_testing import A2aFarSide, OldFarSide, RestFarSide
from adapters.a2a.line_testing import GrpcFarSide
from adapters.conformance import suite

TestRpc = suite("a2a", A2aFarSide)
TestRest = suite("a2a", RestFarSide)
TestOld = suite("a2a", OldFarSide)
TestGrpc = suite("a2a", GrpcFarSide)
