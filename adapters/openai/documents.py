"""What this face adds to `/openapi.json`."""

from typing import Any

OBJECT = {"type": "object"}
ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
REFUSED = {
    "description": "An error: in the words of this API; from the border, a problem document.",
    "content": {"application/json": {"schema": ERROR}, "application/problem+json": {"schema": OBJECT}},
}
REQUEST = {
    "type": "object",
    "required": ["model", "messages"],
    "properties": {
        "model": {"type": "string", "minLength": 1, "description": "An agent's slug; `GET /v1/models` lists them."},
        "messages": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["role"],
                "properties": {
                    "role": {"enum": ["system", "developer", "user", "assistant", "tool", "function"]},
                    "content": {"type": ["string", "array", "null"], "items": OBJECT},
                },
            },
        },
        "stream": {"type": "boolean"},
    },
}


def _answers(*kinds: str) -> dict[str, Any]:
    content = {kind: {"schema": OBJECT if "json" in kind else {"type": "string"}} for kind in kinds}
    return {"200": {"description": "Well.", "content": content}, "default": REFUSED}


NAMED = {
    "name": "doolittle-conversation",
    "in": "header",
    "required": False,
    "description": "A name of yours; without one, the history that is sent is the conversation's name.",
    "schema": {"type": "string", "maxLength": 256},
}
COMPLETIONS: dict[str, Any] = {
    "paths": {
        "/v1/chat/completions": {
            "post": {
                "operationId": "chatCompletions",
                "summary": "Talk with an agent, as with a model",
                "tags": ["chat"],
                "parameters": [NAMED],
                "requestBody": {"required": True, "content": {"application/json": {"schema": REQUEST}}},
                "responses": _answers("application/json", "text/event-stream"),
            }
        }
    }
}
MODELS: dict[str, Any] = {
    "paths": {
        "/v1/models": {
            "get": {
                "operationId": "listModels",
                "summary": "The agents that talk",
                "tags": ["chat"],
                "responses": _answers("application/json"),
            }
        }
    }
}
MODEL: dict[str, Any] = {
    "paths": {
        "/v1/models/{model}": {
            "get": {
                "operationId": "getModel",
                "summary": "One of them",
                "tags": ["chat"],
                "parameters": [{
                    "name": "model", "in": "path", "required": True,
                    "schema": {"type": "string", "minLength": 1, "pattern": r"^[^/\x00-\x1f]+$"},
                }],
                "responses": _answers("application/json"),
            }
        }
    }
}  # fmt: skip
