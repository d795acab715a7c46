"""An MCP server that does everything: what the conformance suites ask of one, and what trips gateways up."""
