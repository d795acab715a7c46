"""MCP's own conformance suites against the gateway, and against our fixture without it."""
