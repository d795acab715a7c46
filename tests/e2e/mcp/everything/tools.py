"""The tools that answer by themselves."""

import asyncio
from typing import Any

import mcp_types as t
from mcp.shared.exceptions import MCPError

from tests.e2e.mcp.everything.tool import Answer, World, fields, modern, text, tool

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
WAV = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAAAAA=="
STEP = 0.05
LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
LONG = "a_tool_whose_name_goes_on_" + "and_on_" * 12 + "until_it_ends"


@tool("test_simple_text", "One text.", title="Simple text", annotations=t.ToolAnnotations(read_only_hint=True))
async def simple_text(world: World, ctx: Any, params: t.CallToolRequestParams) -> Answer:
    return text("This is a simple text response for testing.")


@tool("test_image_content", "One image.")
async def image(world: World, ctx: Any, params: t.CallToolRequestParams) -> Answer:
    return t.CallToolResult(content=[t.ImageContent(type="image", data=PNG, mime_type="image/png")])


@tool("test_audio_content", "One sound.")
async def audio(world: World, ctx: Any, params: t.CallToolRequestParams) -> Answer:
    return t.CallToolResult(content=[t.AudioContent(type="audio", data=WAV, mime_type="audio/wav")])


def embedded(uri: str, mime_type: str, said: str) -> t.EmbeddedResource:
    return t.EmbeddedResource(type="resource", resource=t.TextResourceContents(uri=uri, mime_type=mime_type, text=said))


@tool("test_embedded_resource", "One embedded resource.")
async def resource(world: World, ctx: Any, params: t.CallToolRequestParams) -> Answer:
    block = embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")
    return t.CallToolResult(content=[block])


@tool("test_multiple_content_types", "A text, an image and a resource.")
async def several(world: World, ctx: Any, params: t.CallToolRequestParams) -> Answer:
    return t.CallToolResult(
        content=[
            t.TextContent(type="text", text="Multiple content types test:"),
            t.ImageContent(type="image", data=PNG, mime_type="image/png"),
            embedded("test://mixed-content-resource", "application/json", '{"test":"data","value":123}'),
        ]
    )


@tool("test_error_handling", "Always fails.")
async def failing(world: World, ctx: Any, params: t.CallToolRequestParams) -> Answer:
    return text("This tool intentionally returns an error for testing", is_error=True)


async def log(ctx: Any, said: str) -> None:
    """A line at level info, on the stream of the request; from 2026-07-28 on only to who asked for it."""
    if modern(ctx):
        wanted = (ctx.meta or {}).get(t.LOG_LEVEL_META_KEY)
        if wanted not in LEVELS or LEVELS.index(wanted) > LEVELS.index("info"):
            return
    note = t.LoggingMessageNotification(params=t.LoggingMessageNotificationParams(level="info", data=said))
    await ctx.session.send_notification(note, related_request_id=ctx.request_id)


@tool("test_tool_with_logging", "Logs three lines.")
async def logging(world: World, ctx: Any, params: t.CallToolRequestParams) -> Answer:
    for line in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await log(ctx, line)
        await asyncio.sleep(STEP)
    return text("Logged three lines.")


@tool("test_logging_tool", "Logs one line.")
async def log_once(world: World, ctx: Any, params: t.CallToolRequestParams) -> Answer:
    await log(ctx, "One line")
    return text("Logged, if it was asked for.")


@tool("test_tool_with_progress", "Reports progress: 0, 50, 100 of 100.")
async def progress(world: World, ctx: Any, params: t.CallToolRequestParams) -> Answer:
    for done in (0, 50, 100):
        await ctx.session.report_progress(done, 100, f"Completed step {done} of 100")
        await asyncio.sleep(STEP)
    return text("Progress was reported.")


@tool("test_reconnection", "Closes its stream, and answers on the next one.")
async def reconnection(world: World, ctx: Any, params: t.CallToolRequestParams) -> Answer:
    if ctx.close_sse_stream:
        await ctx.close_sse_stream()
        await asyncio.sleep(2 * STEP)
    return text("Reconnection test completed.")


@tool("test_trigger_tool_change", "Changes the list of tools.")
async def change_tools(world: World, ctx: Any, params: t.CallToolRequestParams) -> Answer:
    await world.tools_changed()
    return text("Changed.")


@tool("test_trigger_prompt_change", "Changes the list of prompts.")
async def change_prompts(world: World, ctx: Any, params: t.CallToolRequestParams) -> Answer:
    await world.prompts_changed()
    return text("Changed.")


@tool("touch", "Changes the watched resource.")
async def touch(world: World, ctx: Any, params: t.CallToolRequestParams) -> Answer:
    await world.resource_changed("test://watched-resource")
    return text("Changed.")


MIRRORED = fields(
    "region",
    region={"type": "string", "description": "Mirrored to a header", "x-mcp-header": "Region"},
    amount={"type": "integer", "x-mcp-header": "Amount"},
    note="Not mirrored",
)


@tool("test_x_mcp_header", "Has parameters that are mirrored to headers.", MIRRORED)
async def mirrored(world: World, ctx: Any, params: t.CallToolRequestParams) -> Answer:
    return text(f"region: {(params.arguments or {}).get('region')}")


SCHEMA_2020: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


@tool("json_schema_2020_12_tool", "A tool with features of JSON Schema 2020-12.", SCHEMA_2020)
async def schema_2020(world: World, ctx: Any, params: t.CallToolRequestParams) -> Answer:
    return text(f"name: {(params.arguments or {}).get('name')}")


# -- what no suite asks for, and gateways get wrong -----------------------------------------------------------------

WEATHER = {**fields("city", "degrees", city="Where", degrees={"type": "number"}), "additionalProperties": False}


@tool(
    "structured", "Structured content, and a schema of it.", fields("city", city="Where"),
    output_schema=WEATHER, _meta={"example.org/cost": {"cents": 2}},
)  # fmt: skip
async def structured(world: World, ctx: Any, params: t.CallToolRequestParams) -> Answer:
    found = {"city": (params.arguments or {})["city"], "degrees": 21.5}
    return text("It is warm.", structured_content=found)


@tool("structured_error", "An error that has structured content.")
async def structured_error(world: World, ctx: Any, params: t.CallToolRequestParams) -> Answer:
    return text("No weather today.", structured_content={"code": 7, "retry": False}, is_error=True)


@tool("foreign_meta", "A result and a block that carry somebody else's _meta.")
async def foreign_meta(world: World, ctx: Any, params: t.CallToolRequestParams) -> Answer:
    annotations = t.Annotations(audience=["user"], priority=0.5)
    meta: Any = {"example.org/block": [1, None, {"deep": True}]}
    block = t.TextContent(type="text", text="with extras", annotations=annotations, _meta=meta)
    more: Any = {"example.org/result": {"kept": "as it is"}}
    return t.CallToolResult(content=[block], _meta=more)


@tool("link", "A link to a resource.")
async def link(world: World, ctx: Any, params: t.CallToolRequestParams) -> Answer:
    found = t.ResourceLink(
        type="resource_link", uri="test://static-text", name="static-text", title="A text", mime_type="text/plain",
        description="The static text", size=48,
    )  # fmt: skip
    return t.CallToolResult(content=[found])


@tool("nothing", "No content at all.")
async def nothing(world: World, ctx: Any, params: t.CallToolRequestParams) -> Answer:
    return t.CallToolResult(content=[])


@tool("protocol_error", "A JSON-RPC error in place of a result.")
async def protocol_error(world: World, ctx: Any, params: t.CallToolRequestParams) -> Answer:
    raise MCPError(-32050, "out of tea", {"kettle": "cold"})


@tool("Shout.LOUD", "A name that clients of some hosts refuse.", fields("words", words="What to shout"))
async def shout(world: World, ctx: Any, params: t.CallToolRequestParams) -> Answer:
    return text(str((params.arguments or {})["words"]).upper())


@tool(LONG, "A name that is too long for most hosts.")
async def long_name(world: World, ctx: Any, params: t.CallToolRequestParams) -> Answer:
    return text("short")


@tool("header", "The value of an HTTP header of this call.", fields("name", name="Lower case"))
async def header(world: World, ctx: Any, params: t.CallToolRequestParams) -> Answer:
    headers = ctx.request.headers if ctx.request is not None else {}
    return text(str(headers.get((params.arguments or {})["name"], "absent")))


KEY = fields("key", key="Names the wait")


@tool("hold", "Reports progress, and answers only when `release` is called with the same key.", KEY)
async def hold(world: World, ctx: Any, params: t.CallToolRequestParams) -> Answer:
    key = str((params.arguments or {})["key"])
    waiting = world.held.setdefault(key, asyncio.Event())
    world.seen[f"held {key}"] += 1
    await ctx.session.report_progress(1, 2, "holding")
    try:
        await waiting.wait()
    except asyncio.CancelledError:
        world.seen[f"cancelled {key}"] += 1
        raise
    return text(f"released: {key}", structured_content={"key": key})


@tool("release", "Lets `hold` of that key answer.", KEY)
async def release(world: World, ctx: Any, params: t.CallToolRequestParams) -> Answer:
    key = str((params.arguments or {})["key"])
    world.held.setdefault(key, asyncio.Event()).set()
    return text("released")


@tool("seen", "How often `hold` of that key was begun, and cancelled.", KEY, output_schema={"type": "object"})
async def seen(world: World, ctx: Any, params: t.CallToolRequestParams) -> Answer:
    key = str((params.arguments or {})["key"])
    found = {"held": world.seen[f"held {key}"], "cancelled": world.seen[f"cancelled {key}"]}
    return text(str(found), structured_content=found)
