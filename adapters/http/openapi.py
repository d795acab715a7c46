"""What the face of plain HTTP adds to `/openapi.json`."""

from typing import Any

PROBLEMS = {
    "400": "The arguments, the body or the id are not as they must be.",
    "401": "No key, or not a valid one.",
    "402": "The price is above the budget.",
    "403": "The key, the Host or the Origin may not do this.",
    "404": "No such tool or call.",
    "409": "The id was used for another call, the chain came back to where it was, or the call was cancelled.",
    "410": "The token is used up, too old, or another's.",
    "413": "The body is too large.",
    "415": "The body is not JSON.",
    "429": "Too often; `Retry-After` says when.",
    "500": "A fault of the gateway.",
    "502": "The far side failed, or was not reached.",
    "503": "Busy or paused; `Retry-After` says when.",
    "504": "No end before the deadline.",
}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


STREAM = {"text/event-stream": {"schema": {"type": "string"}}}


def problems(*codes: str) -> dict[str, Any]:
    """The answers of these codes, each a problem document."""
    shape = {"application/problem+json": {"schema": _ref("Problem")}}
    return {code: {"description": PROBLEMS[code], "content": shape} for code in codes}


def _parameter(name: str, about: str) -> dict[str, Any]:
    shape = {"type": "string", "minLength": 1, "pattern": r"^[^/\x00-\x1f]+$"}
    return {"name": name, "in": "path", "required": True, "description": about, "schema": shape}


NULLABLE_TEXT = {"type": ["string", "null"], "minLength": 1, "maxLength": 256}
SCHEMAS: dict[str, Any] = {
    "Problem": {
        "type": "object",
        "description": "RFC 9457, with the error's code and whether the far side may have begun.",
        "required": ["type", "title", "status", "detail", "code", "delivered"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "code": {"type": "string"},
            "delivered": {"enum": ["yes", "no", "unknown"]},
            "call": {"type": "string"},
            "retry_after": {"type": "number"},
        },
    },
    "CallRequest": {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "arguments": {"type": ["object", "null"], "description": "As the tool's input schema says."},
            "id": {
                **NULLABLE_TEXT,
                "maxLength": 128,
                "description": "Idempotency key; the same call again is not made twice.",
            },
            "conversation": {
                **NULLABLE_TEXT,
                "description": "A name of yours; calls of one conversation are remembered together.",
            },
            "timeout": {"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 86400, "description": "Seconds."},
            "budget": {
                "type": ["string", "null"],
                "pattern": r"^[0-9]{1,12}(\.[0-9]{1,18})?$",
                "description": "What it may cost.",
            },
            "answer": {
                "type": ["object", "null"],
                "required": ["token", "values"],
                "additionalProperties": False,
                "properties": {"token": {"type": "string"}, "values": {"type": "object"}},
            },
            "detached": {"type": ["boolean", "null"], "description": "Answer 202 at once; the call goes on."},
        },
    },
    "Call": {
        "type": "object",
        "required": ["call", "state"],
        "properties": {
            "call": {"type": "string"},
            "state": {"enum": ["working", "asking", "done", "failed"]},
            "tool": {"type": "string"},
            "result": {
                "type": "object",
                "required": ["content", "text"],
                "properties": {
                    "content": {"type": "array"},
                    "text": {"type": "string"},
                    "structured": {},
                    "usage": {"type": "object", "description": "Tokens, as the far side's models counted them."},
                },
            },
            "ask": {"type": "object", "required": ["token", "requests"]},
            "error": _ref("Problem"),
        },
    },
}
CALLS: dict[str, Any] = {
    "paths": {
        "/v1/tools/{tool}/calls": {
            "post": {
                "summary": "Call a tool",
                "description": "JSON when it ended; with `Accept: text/event-stream`, events as they come.",
                "operationId": "callTool",
                "tags": ["calls"],
                "parameters": [_parameter("tool", "Its public name, such as `eliza__ask`.")],
                "requestBody": {"required": False, "content": _json(_ref("CallRequest"))},
                "responses": {
                    "200": {"description": "It ended, or asks back.", "content": _json(_ref("Call")) | STREAM},
                    "202": {"description": "Detached: it goes on.", "content": _json(_ref("Call"))},
                    **problems(*PROBLEMS),
                },
            }
        }
    },
    "components": {"schemas": SCHEMAS},
}
_ID = _parameter("id", "The call's id.")
CALL: dict[str, Any] = {
    "paths": {
        "/v1/calls/{id}": {
            "get": {
                "summary": "Read a call of yours",
                "description": "With `Accept: text/event-stream`: all its events, from the first.",
                "operationId": "getCall",
                "tags": ["calls"],
                "parameters": [_ID],
                "responses": {
                    "200": {"description": "The call.", "content": _json(_ref("Call")) | STREAM},
                    **problems("400", "401", "403", "404"),
                },
            },
            "delete": {
                "summary": "Cancel a call of yours",
                "operationId": "cancelCall",
                "tags": ["calls"],
                "parameters": [_ID],
                "responses": {
                    "200": {"description": "The call, ended.", "content": _json(_ref("Call"))},
                    **problems("400", "401", "403", "404", "413", "415"),
                },
            },
        }
    }
}
_VIEW = _parameter("view", "Its name; `all` for every tool.")


def answers(id: str) -> dict[str, Any]:
    """The operation by which a question back is answered."""
    said = {
        "type": "object",
        "required": ["tool", "token", "values"],
        "additionalProperties": False,
        "properties": {
            "tool": {"type": "string", "description": "The name of the tool that asked."},
            "token": {"type": "string"},
            "values": {"type": "object", "description": "For each request's id, the object that was filled in."},
        },
    }
    return {
        "summary": "Answer a question back",
        "description": "When a call was answered 202 with the state `asking`: its token, and values for its requests.",
        "operationId": id,
        "requestBody": {"required": True, "content": _json(said)},
        "responses": {
            "200": {"description": "As the tool answers.", "content": _json({})},
            "202": {"description": "It asks again, or takes longer.", "content": _json(_ref("Call"))},
            **problems(*PROBLEMS),
        },
    }


def _view(path: str, method: str, operation: dict[str, Any], *more: dict[str, Any]) -> dict[str, Any]:
    return {"paths": {path: {method: {"tags": ["views"], "parameters": [_VIEW, *more], **operation}}}}


VIEW = _view("/v1/views/{view}/openapi.json", "get", {
    "summary": "The tools of a view as operations of their own",
    "description": "An OpenAPI document that has each tool that this key may call, with its own schemas.",
    "operationId": "describeView",
    "responses": {
        "200": {"description": "The document.", "content": _json({"type": "object"})},
        **problems("400", "401", "403", "404"),
    },
})  # fmt: skip
VIEW_TOOL = _view("/v1/views/{view}/tools/{tool}", "post", {
    "summary": "Call a tool of a view with its arguments alone",
    "description": "The body is the arguments; the answer is as the tool's output schema says, or text and content.",
    "operationId": "callToolOfView",
    "requestBody": {"required": False, "content": _json({"type": "object"})},
    "responses": {
        "200": {"description": "What it answered.", "content": _json({})},
        "202": {"description": "It asks back, or takes longer than this caller waits.", "content": _json(_ref("Call"))},
        **problems(*PROBLEMS),
    },
}, _parameter("tool", "The name that the view shows."))  # fmt: skip
VIEW_ANSWERS = _view("/v1/views/{view}/answers", "post", answers("answerToolOfView"))
