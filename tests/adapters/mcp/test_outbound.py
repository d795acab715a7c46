"""MCP servers of both eras pass the suite."""

from adapters.conformance import suite
from adapters.mcp.far_testing import HandshakeFarSide, ModernFarSide

TestModern = suite("mcp", ModernFarSide)
TestHandshake = suite("mcp", HandshakeFarSide)
