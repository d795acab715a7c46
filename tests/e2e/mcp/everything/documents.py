"""The resources, prompts and completions."""

import json
import re
from typing import Any

import mcp_types as t
from mcp.shared.exceptions import MCPError

from tests.e2e.mcp.everything.questions import ask, form
from tests.e2e.mcp.everything.tool import World, modern
from tests.e2e.mcp.everything.tools import PNG, embedded

RESOURCES = [
    t.Resource(
        uri="test://static-text",
        name="static-text",
        title="A text",
        description="A static text",
        mime_type="text/plain",
    ),
    t.Resource(uri="test://static-binary", name="static-binary", description="A static image", mime_type="image/png"),
    t.Resource(uri="test://watched-resource", name="watched-resource", description="Changes", mime_type="text/plain"),
]
TEMPLATES = [
    t.ResourceTemplate(
        uri_template="test://template/{id}/data",
        name="template",
        description="Data by id",
        mime_type="application/json",
    )
]
TEXTS = {
    "test://static-text": "This is the content of the static text resource.",
    "test://watched-resource": "Watched resource content",
}
TEMPLATE = re.compile(r"test://template/([^/]+)/data\Z")
WORDS = ("paris", "park", "party", "testValue1", "testValue2")


def argument(name: str, description: str) -> t.PromptArgument:
    return t.PromptArgument(name=name, description=description, required=True)


PROMPTS = [
    t.Prompt(name="test_simple_prompt", title="Simple", description="A prompt without arguments"),
    t.Prompt(
        name="test_prompt_with_arguments",
        description="A prompt with arguments",
        arguments=[argument("arg1", "First test argument"), argument("arg2", "Second test argument")],
    ),
    t.Prompt(
        name="test_prompt_with_embedded_resource",
        description="A prompt with an embedded resource",
        arguments=[argument("resourceUri", "URI of the resource to embed")],
    ),
    t.Prompt(name="test_prompt_with_image", description="A prompt with an image"),
    t.Prompt(name="test_input_required_result_prompt", description="A prompt that asks back"),
]


async def read(world: World, params: t.ReadResourceRequestParams, ctx: Any) -> t.ReadResourceResult:
    uri = str(params.uri)
    if uri == "test://static-binary":
        blob = t.BlobResourceContents(uri=uri, mime_type="image/png", blob=PNG)
        return t.ReadResourceResult(contents=[blob])
    if found := TEMPLATE.match(uri):
        data = json.dumps({"id": found[1], "templateTest": True, "data": f"Data for ID: {found[1]}"})
        return t.ReadResourceResult(contents=[t.TextResourceContents(uri=uri, mime_type="application/json", text=data)])
    if uri not in TEXTS:
        code = t.INVALID_PARAMS if modern(ctx) else -32002
        raise MCPError(code, "Resource not found", {"uri": uri})
    return t.ReadResourceResult(contents=[t.TextResourceContents(uri=uri, mime_type="text/plain", text=TEXTS[uri])])


def listed(world: World) -> list[t.Prompt]:
    changes = world.seen["prompt changes"]
    return [*PROMPTS, t.Prompt(name="test_changing_prompt", description=f"Changed {changes} times")]


def _user(content: Any) -> t.PromptMessage:
    return t.PromptMessage(role="user", content=content)


def _text(said: str) -> t.PromptMessage:
    return _user(t.TextContent(type="text", text=said))


async def prompt(ctx: Any, params: t.GetPromptRequestParams) -> t.GetPromptResult | t.InputRequiredResult:
    given = params.arguments or {}
    match params.name:
        case "test_simple_prompt":
            return t.GetPromptResult(description="Simple", messages=[_text("This is a simple prompt for testing.")])
        case "test_prompt_with_arguments":
            said = f"Prompt with arguments: arg1='{given.get('arg1')}', arg2='{given.get('arg2')}'"
            return t.GetPromptResult(messages=[_text(said)])
        case "test_prompt_with_embedded_resource":
            block = embedded(given.get("resourceUri", ""), "text/plain", "Embedded resource content for testing.")
            return t.GetPromptResult(messages=[_user(block), _text("Please process the embedded resource above.")])
        case "test_prompt_with_image":
            image = t.ImageContent(type="image", data=PNG, mime_type="image/png")
            return t.GetPromptResult(messages=[_user(image), _text("Please analyze the image above.")])
        case "test_input_required_result_prompt":
            question = form("What context should the prompt use?", "context", context={"type": "string"})
            found = await ask(ctx, params, {"user_context": question})
            if isinstance(found, t.InputRequiredResult):
                return found
            return t.GetPromptResult(messages=[_text(f"Context: {found['user_context'].content}")])
        case "test_changing_prompt":
            return t.GetPromptResult(messages=[_text("Changed.")])
        case _:
            raise MCPError(t.INVALID_PARAMS, f"Unknown prompt: {params.name}")


def complete(params: t.CompleteRequestParams) -> t.CompleteResult:
    found = [word for word in WORDS if word.startswith(params.argument.value)]
    return t.CompleteResult(completion=t.Completion(values=found, total=len(found), has_more=False))
