"""Callers by plain HTTP and by both eras of MCP pass the suite."""

from adapters.conformance import inbound_suite
from adapters.http.testing import HttpNearSide
from adapters.mcp.testing import HandshakeNearSide, ModernNearSide

TestHttp = inbound_suite("http", HttpNearSide)
TestMcpModern = inbound_suite("mcp", ModernNearSide)
TestMcpHandshake = inbound_suite("mcp", HandshakeNearSide)
