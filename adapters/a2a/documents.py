"""What this face adds to `/openapi.json`."""

from typing import Any

OBJECT = {"type": "object"}
REFUSED = {
    "description": "An error: of the protocol, or a problem document from the border.",
    "content": {
        "application/json": {"schema": OBJECT},
        "application/a2a+json": {"schema": OBJECT},
        "application/problem+json": {"schema": OBJECT},
    },
}
AGENT = {"name": "agent", "in": "path", "required": True, "schema": {"type": "string", "pattern": "^[a-z0-9-]+$"}}


def _answers(*kinds: str) -> dict[str, Any]:
    content = {kind: {"schema": OBJECT if "json" in kind else {"type": "string"}} for kind in kinds}
    return {"200": {"description": "Well.", "content": content}, "default": REFUSED}


def _get(id: str, summary: str, parameters: list[Any]) -> dict[str, Any]:
    said = {"operationId": id, "summary": summary, "tags": ["a2a"], "parameters": parameters}
    return {"get": {**said, "responses": _answers("application/json")}}


def card(path: str) -> dict[str, Any]:
    id = "getAgentCard" if path.endswith("agent-card.json") else "getOldAgentCard"
    return {"paths": {f"/a2a/{{agent}}{path}": _get(id, "The card of an agent", [AGENT])}}


def own_card(path: str) -> dict[str, Any]:
    id = "getGatewayCard" if path.endswith("agent-card.json") else "getOldGatewayCard"
    return {"paths": {path: _get(id, "The card of the gateway: its agents", [])}}


KEYS: dict[str, Any] = {
    "paths": {"/a2a/keys": _get("getCardKeys", "The keys that cards are signed with (JWK set)", [])}
}
RPC: dict[str, Any] = {
    "paths": {
        "/a2a/{agent}": {
            "post": {
                "operationId": "a2aJsonRpc",
                "summary": "A2A 1.0 and 0.3 by JSON-RPC",
                "tags": ["a2a"],
                "parameters": [AGENT],
                "requestBody": {"required": True, "content": {"application/json": {"schema": OBJECT}}},
                "responses": _answers("application/json", "text/event-stream"),
            }
        }
    }
}
OWN_RPC: dict[str, Any] = {
    "paths": {
        "/a2a": {
            "post": {
                "operationId": "a2aGatewayJsonRpc",
                "summary": "A2A 1.0 by JSON-RPC, to the agent that a message names as its skill",
                "tags": ["a2a"],
                "requestBody": {"required": True, "content": {"application/json": {"schema": OBJECT}}},
                "responses": _answers("application/json", "text/event-stream"),
            }
        }
    }
}
REST: dict[str, Any] = {}
"""HTTP+JSON is described by A2A itself (section 11)."""
