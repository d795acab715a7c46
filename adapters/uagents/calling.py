"""The MCP protocol 0.1.0 and the payment protocol 0.1.0 of this network: their models and digests. Pure.

The models of the first are those of `uagents-adapter`, which need not be installed for them.
"""

from typing import Any

import orjson
from uagents_core.contrib.protocols.payment import (
    CancelPayment,
    CommitPayment,
    CompletePayment,
    RejectPayment,
    RequestPayment,
    payment_protocol_spec,
)
from uagents_core.models import ErrorMessage, Model
from uagents_core.protocol import ProtocolSpecification

from adapters.spi import Result, Tool


class ListTools(Model):
    """Request to list available tools."""


class ListToolsResponse(Model):
    """Response containing available tools or error."""

    tools: list[dict[str, Any]] | None = None
    error: str | None = None


class CallTool(Model):
    """Request to call a specific tool with arguments."""

    tool: str
    args: dict[str, Any]


class CallToolResponse(Model):
    """Response from a tool call containing result or error."""

    result: str | None = None
    error: str | None = None


mcp_protocol = ProtocolSpecification(
    name="MCPProtocol",
    version="0.1.0",
    interactions={ListTools: {ListToolsResponse}, CallTool: {CallToolResponse}},
)
LIST_TOOLS, CALL_TOOL = map(Model.build_schema_digest, (ListTools, CallTool))
TOOLS, RESULT = map(Model.build_schema_digest, (ListToolsResponse, CallToolResponse))
ERROR = Model.build_schema_digest(ErrorMessage)
MCP = mcp_protocol.digest
REQUEST, COMMIT, REJECT, CANCEL, COMPLETE = map(
    Model.build_schema_digest, (RequestPayment, CommitPayment, RejectPayment, CancelPayment, CompletePayment)
)
PAYMENTS: dict[str, type[Model]] = {
    COMMIT: CommitPayment,
    REJECT: RejectPayment,
    CANCEL: CancelPayment,
    COMPLETE: CompletePayment,
    REQUEST: RequestPayment,
}
PAYMENT_PROTOCOLS = frozenset(
    {
        payment_protocol_spec.digest,
        *(payment_protocol_spec.manifest(r)["metadata"]["digest"] for r in ("seller", "buyer")),
    }
)
UNSETTLED = "this gateway settles no payments on this network: nothing was checked, and nothing is owed"


def listed(tools: list[Tool]) -> ListToolsResponse:
    return ListToolsResponse(
        tools=[
            {"name": t.name, "description": t.description, "inputSchema": orjson.loads(t.input_schema)} for t in tools
        ]
    )


def called(of: Result) -> CallToolResponse:
    """The structure as JSON where there is one, else the text: never a program's own way to print it."""
    return CallToolResponse(result=of.text if of.structured is None else orjson.dumps(of.structured).decode())


def refused(digest: str, transaction: str | None) -> Model:
    """How a message about a payment is answered where no priced call is open: who commits one is told to take it
    back."""
    if digest == COMMIT:
        return CancelPayment(transaction_id=transaction, reason=UNSETTLED)
    if digest == REQUEST:
        return RejectPayment(reason=UNSETTLED)
    return ErrorMessage(error=UNSETTLED)
