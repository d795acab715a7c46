"""The tools that ask back: live over a session, by `input_required` without one. One way to write both."""

import hashlib
import hmac
import json
from typing import Any

import mcp_types as t
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata

from tests.e2e.mcp.everything.tool import Answer, World, fields, modern, text, tool

NEEDS = {"elicitation/create": "elicitation", "sampling/createMessage": "sampling", "roots/list": "roots"}
RESULTS: dict[str, type[Any]] = {
    "elicitation/create": t.ElicitResult,
    "sampling/createMessage": t.CreateMessageResult,
    "roots/list": t.ListRootsResult,
}
Given = dict[str, Any]
Found = Given | t.InputRequiredResult


def form(message: str, *required: str, **properties: Any) -> t.ElicitRequest:
    schema: Any = fields(*required, **properties)
    return t.ElicitRequest(params=t.ElicitRequestFormParams(message=message, requested_schema=schema))


def sample(prompt: str, tokens: int = 100) -> t.CreateMessageRequest:
    message = t.SamplingMessage(role="user", content=t.TextContent(type="text", text=prompt))
    return t.CreateMessageRequest(params=t.CreateMessageRequestParams(messages=[message], max_tokens=tokens))


def can(ctx: Any, method: str) -> bool:
    """Whether the client declared what this request needs."""
    declared = ctx.session.client_capabilities
    return declared is not None and getattr(declared, NEEDS[method]) is not None


def demand(ctx: Any, *methods: str) -> None:
    """Raises the error of 2026-07-28 for the first thing that the client cannot do."""
    for method in methods:
        if not can(ctx, method):
            name = NEEDS[method]
            data = {"requiredCapabilities": {name: {}}}
            raise MCPError(t.MISSING_REQUIRED_CLIENT_CAPABILITY, f"the client has not declared '{name}'", data)


async def ask(
    ctx: Any, params: Any, requests: dict[str, Any], state: str | None = None
) -> Given | t.InputRequiredResult:
    """The answers; or, without a session, the questions until all of them are answered."""
    demand(ctx, *(request.method for request in requests.values()))
    if modern(ctx):
        given = params.input_responses or {}
        if all(key in given for key in requests):
            return {key: given[key] for key in requests}
        return t.InputRequiredResult(input_requests=requests, request_state=state)
    answers: Given = {}
    metadata = ServerMessageMetadata(related_request_id=ctx.request_id)
    for key, request in requests.items():
        answers[key] = await ctx.session.send_request(request, RESULTS[request.method], metadata=metadata)
    return answers


def said(given: Any) -> str:
    """An answer of the user's, in words."""
    content = given.content if isinstance(given, t.ElicitResult) else None
    return f"action={getattr(given, 'action', '?')}, content={json.dumps(content, sort_keys=True)}"


def sealed(world: World, state: str) -> str:
    return f"{state}.{hmac.new(world.secret, state.encode(), hashlib.sha256).hexdigest()}"


def opened(world: World, token: str | None) -> str:
    """Raises for a state that this server did not seal."""
    state = (token or "").rpartition(".")[0]
    if not hmac.compare_digest(sealed(world, state).encode(), (token or "").encode()):
        raise MCPError(t.INVALID_PARAMS, "requestState is not one of ours")
    return state


# -- questions of 2025-11-25 ---------------------------------------------------------------------------------------


@tool("test_sampling", "Asks the client's model.", fields("prompt", prompt="The prompt"))
async def sampling(world: World, ctx: Any, params: t.CallToolRequestParams) -> Answer:
    found = await ask(ctx, params, {"model": sample(str((params.arguments or {})["prompt"]))})
    if isinstance(found, t.InputRequiredResult):
        return found
    return text(f"LLM response: {found['model'].content.text}")


@tool("test_elicitation", "Asks the user.", fields("message", message="What to show"))
async def elicitation(world: World, ctx: Any, params: t.CallToolRequestParams) -> Answer:
    question = form(
        str((params.arguments or {})["message"]), "username", "email",
        username="User's response", email="User's email address",
    )  # fmt: skip
    found = await ask(ctx, params, {"user": question})
    return found if isinstance(found, t.InputRequiredResult) else text(f"User response: {said(found['user'])}")


@tool("test_elicitation_sep1034_defaults", "Asks with defaults of each kind.")
async def defaults(world: World, ctx: Any, params: t.CallToolRequestParams) -> Answer:
    question = form(
        "Please review", name={"type": "string", "default": "John Doe"}, age={"type": "integer", "default": 30},
        score={"type": "number", "default": 95.5},
        status={"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        verified={"type": "boolean", "default": True},
    )  # fmt: skip
    found = await ask(ctx, params, {"user": question})
    return found if isinstance(found, t.InputRequiredResult) else text(f"Elicitation completed: {said(found['user'])}")


def titled(*values: str) -> list[dict[str, str]]:
    return [{"const": value, "title": value.title()} for value in values]


@tool("test_elicitation_sep1330_enums", "Asks with each kind of choice.")
async def enums(world: World, ctx: Any, params: t.CallToolRequestParams) -> Answer:
    plain = ["option1", "option2", "option3"]
    question = form(
        "Please choose", untitledSingle={"type": "string", "enum": plain},
        titledSingle={"type": "string", "oneOf": titled("value1", "value2", "value3")},
        legacyEnum={"type": "string", "enum": ["opt1", "opt2"], "enumNames": ["Option One", "Option Two"]},
        untitledMulti={"type": "array", "items": {"type": "string", "enum": plain}},
        titledMulti={"type": "array", "items": {"anyOf": titled("value1", "value2", "value3")}},
    )  # fmt: skip
    found = await ask(ctx, params, {"user": question})
    return found if isinstance(found, t.InputRequiredResult) else text(f"Elicitation completed: {said(found['user'])}")


@tool("test_missing_capability", "Needs a client that can sample.")
async def missing(world: World, ctx: Any, params: t.CallToolRequestParams) -> Answer:
    demand(ctx, "sampling/createMessage")
    return text("The client can sample.")


@tool("test_streaming_elicitation", "Reports progress, and asks.")
async def streaming(world: World, ctx: Any, params: t.CallToolRequestParams) -> Answer:
    await ctx.session.report_progress(1, 2, "about to ask")
    found = await ask(ctx, params, {"user": form("Go on?", ok={"type": "boolean"})})
    return found if isinstance(found, t.InputRequiredResult) else text(said(found["user"]))


# -- questions of 2026-07-28 ---------------------------------------------------------------------------------------

NAME = form("What is your name?", "name", name={"type": "string"})


@tool("test_input_required_result_elicitation", "Asks for a name.")
async def ask_name(world: World, ctx: Any, params: t.CallToolRequestParams) -> Answer:
    found = await ask(ctx, params, {"user_name": NAME})
    if isinstance(found, t.InputRequiredResult):
        return found
    name = found["user_name"]
    if not isinstance(name, t.ElicitResult):
        raise MCPError(t.INVALID_PARAMS, "'user_name' is the answer to a form")
    return text(f"Hello, {(name.content or {}).get('name')}!")


@tool("test_input_required_result_sampling", "Asks the client's model.")
async def ask_model(world: World, ctx: Any, params: t.CallToolRequestParams) -> Answer:
    found = await ask(ctx, params, {"capital_question": sample("What is the capital of France?")})
    return found if isinstance(found, t.InputRequiredResult) else text(found["capital_question"].content.text)


@tool("test_input_required_result_list_roots", "Asks for the client's roots.")
async def ask_roots(world: World, ctx: Any, params: t.CallToolRequestParams) -> Answer:
    found = await ask(ctx, params, {"client_roots": t.ListRootsRequest()})
    if isinstance(found, t.InputRequiredResult):
        return found
    return text(", ".join(str(root.uri) for root in found["client_roots"].roots))


CONFIRM = form("Please confirm", "ok", ok={"type": "boolean"})


@tool("test_input_required_result_request_state", "Asks, and remembers by requestState.")
async def ask_state(world: World, ctx: Any, params: t.CallToolRequestParams) -> Answer:
    found = await ask(ctx, params, {"confirm": CONFIRM}, sealed(world, "confirm"))
    if isinstance(found, t.InputRequiredResult):
        return found
    return text("state-ok" if not modern(ctx) or opened(world, params.request_state) == "confirm" else "state-bad")


@tool("test_input_required_result_tampered_state", "Asks, and refuses a requestState that is not its own.")
async def ask_tampered(world: World, ctx: Any, params: t.CallToolRequestParams) -> Answer:
    if params.request_state is not None:
        opened(world, params.request_state)
    found = await ask(ctx, params, {"confirm": CONFIRM}, sealed(world, "tampered"))
    return found if isinstance(found, t.InputRequiredResult) else text("state-ok")


@tool("test_input_required_result_multiple_inputs", "Asks user, model and roots at once.")
async def ask_all(world: World, ctx: Any, params: t.CallToolRequestParams) -> Answer:
    requests = {"user_name": NAME, "greeting": sample("Generate a greeting", 50), "client_roots": t.ListRootsRequest()}
    found = await ask(ctx, params, requests, sealed(world, "several"))
    return found if isinstance(found, t.InputRequiredResult) else text(f"answered: {', '.join(sorted(found))}")


@tool("test_input_required_result_multi_round", "Asks twice, one after the other.")
async def ask_twice(world: World, ctx: Any, params: t.CallToolRequestParams) -> Answer:
    first = {"step1": form("Step 1: What is your name?", "name", name={"type": "string"})}
    second = {"step2": form("Step 2: What is your favorite color?", "color", color={"type": "string"})}
    if not modern(ctx) or (params.request_state and opened(world, params.request_state) in ("1", "2")):
        if not modern(ctx):
            await ask(ctx, params, first)
        found = await ask(ctx, params, second, sealed(world, "2"))
        return found if isinstance(found, t.InputRequiredResult) else text(f"Done: {said(found['step2'])}")
    return t.InputRequiredResult(input_requests=dict[str, Any](first), request_state=sealed(world, "1"))


@tool("test_input_required_result_capabilities", "Asks only for what the client can answer.")
async def ask_what_it_can(world: World, ctx: Any, params: t.CallToolRequestParams) -> Answer:
    wanted = {"user_name": NAME, "greeting": sample("Generate a greeting", 50), "client_roots": t.ListRootsRequest()}
    found = await ask(ctx, params, {k: r for k, r in wanted.items() if can(ctx, r.method)})
    return found if isinstance(found, t.InputRequiredResult) else text(f"answered: {', '.join(sorted(found))}")
