"""A specialist that says what it was told: an MCP server over stdio."""

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from pydantic import BaseModel

server = MCPServer("sidekick")


class Report(BaseModel):
    """What a specialist answers."""

    response: str
    toolsUsed: list[str]
    benchmarkScore: float


@server.tool()
async def analyze(task: str, context: str, framework: str, ctx: Context) -> Report:
    """Analyzes, in two steps."""
    for number, step in enumerate(("plan", "compute"), 1):
        await ctx.report_progress(number, 2, f"step {step}")
    return Report(response=f"[{framework}] {task}\n{context}", toolsUsed=["pandas", "search"], benchmarkScore=0.75)


if __name__ == "__main__":
    server.run("stdio")
