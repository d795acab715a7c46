"""What a client of the SDK got."""

import mcp.types as t


def text(result: t.CallToolResult) -> str:
    """Its texts, one a line."""
    return "\n".join(block.text for block in result.content if isinstance(block, t.TextContent))
