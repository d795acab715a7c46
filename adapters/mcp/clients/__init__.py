"""The programs on this machine that speak MCP: where their settings are, and how ours get into them and out again."""
