"""What is said over the contract: calls, events, and who says them. Frozen values, no behaviour."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, TypeAlias

from adapters.errors import GatewayError
from registry.model import Json, Price

INLINE_LIMIT = 8 * 2**20
"""Bytes of one `Data` or `File` that may travel inline; larger goes by reference (`File.uri`)."""
MAX_DEPTH = 8
"""Agents and gateways that one chain of calls may pass."""
MAX_DESCENDANTS = 64
"""Calls that one root call may cause, over all its branches."""

Handle: TypeAlias = str
"""What an outbound adapter needs to find work again that the far side holds: opaque, serialisable, no secret."""


# ---- what is said -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of text."""

    text: str


@dataclass(frozen=True, slots=True)
class Data:
    """A JSON value."""

    value: Json


@dataclass(frozen=True, slots=True)
class File:
    """Bytes of a `media_type`: inline in `body`, or by reference in `uri` (exactly one of the two)."""

    media_type: str
    body: bytes | None = None
    uri: str | None = None
    name: str = ""


Content: TypeAlias = Text | Data | File


@dataclass(frozen=True, slots=True)
class Form:
    """Please fill in: `schema` is a flat JSON Schema object."""

    id: str
    message: str
    schema: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Visit:
    """Please go to `url` and come back."""

    id: str
    message: str
    url: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """Please let your model complete this: `params` as in MCP `sampling/createMessage`."""

    id: str
    params: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Payment:
    """Please pay `price`; `terms` are the network's own (an x402 requirement, an offering)."""

    id: str
    price: Price
    terms: Mapping[str, Json] = field(default_factory=dict[str, Json])


Request: TypeAlias = Form | Visit | Sampling | Payment


@dataclass(frozen=True, slots=True)
class Accepted:
    """The far side holds the work: from here a crash is mended by `Outbound.resume`, never by calling again."""

    handle: Handle


@dataclass(frozen=True, slots=True)
class Progress:
    """A preview: `done` of `total` (unknown: None), and what is being done. `raw` as in `Result`."""

    message: str = ""
    done: float | None = None
    total: float | None = None
    raw: bytes | None = None
    raw_format: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """A preview of the result. Parts need not add up to it."""

    content: Content


@dataclass(frozen=True, slots=True)
class Ask:
    """Ends the stream: answer with a new `Call` whose `answer` carries `token`.

    The adapter sets `state` (what it needs to go on; callers never see it); the core seals it into `token`, which is
    single-use and bound to caller, tool and expiry.
    """

    requests: tuple[Request, ...]
    state: Json = None
    token: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """Ends the stream. `raw` in `raw_format` ("mcp/2025-11-25 tools/call") is the far side's own answer, so that a call
    within one network is forwarded without loss. `cost` is what the call took from a budget. `meta["usage"]`: tokens
    as the far side's models counted them (`prompt_tokens`, `completion_tokens`, `total_tokens`)."""

    content: tuple[Content, ...] = ()
    structured: Json = None
    raw: bytes | None = None
    raw_format: str = ""
    cost: Price | None = None
    meta: Mapping[str, Json] = field(default_factory=dict[str, Json])

    @property
    def text(self) -> str:
        """All text of the content, pieces joined by new lines."""
        return "\n".join(c.text for c in self.content if isinstance(c, Text))


@dataclass(frozen=True, slots=True)
class Error:
    """Ends the stream. `raw` as in `Result`."""

    error: GatewayError
    raw: bytes | None = None
    raw_format: str = ""


Event: TypeAlias = Accepted | Progress | Part | Ask | Result | Error
LAST = (Result, Error, Ask)


# ---- who says it to whom ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Caller:
    """The authenticated principal, by which `network` it came, and what it may do.

    `allow` are glob patterns over public tool names; `roles` are of "call", "admin", "register". `agent` is the slug of
    the agent to which the credential belongs, if it does. With `views`, only their tools are seen and called.
    `patience`: seconds after which a call of this caller's is answered with what there is so far; None: as the face
    thinks fit, 0: never. What is allowed is the intersection along `on_behalf_of`. `charged`: whose limits its calls
    use up, where they are not its own: the caller's in whose call an agent acts. `parts`: public names of tools of
    which this agent is made, by the operator's choice: its own calls of them need no right of those on whose behalf it
    acts, who called the agent as a whole. Only the gateway itself sets it.
    """

    id: str
    network: str = ""
    name: str = ""
    allow: tuple[str, ...] = ("*",)
    roles: frozenset[str] = frozenset({"call"})
    agent: str = ""
    on_behalf_of: "Caller | None" = None
    views: tuple[str, ...] = ()
    patience: float | None = None
    charged: str = ""
    parts: tuple[str, ...] = ()

    def chain(self) -> tuple["Caller", ...]:
        """This caller and all on whose behalf it acts."""
        return (self, *(self.on_behalf_of.chain() if self.on_behalf_of else ()))


@dataclass(frozen=True, slots=True)
class Hop:
    """One stage of a chain of calls: the call's id, its agent and tool."""

    call: str
    agent: str
    tool: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to an `Ask`: for each request's id its value: the object that was filled in for a `Form`, true for a
    `Visit`, the `CreateMessageResult` for a `Sampling`; None: declined; an id that is missing: nobody answered.
    `state` is the adapter's own, given back by the core."""

    token: str
    values: Mapping[str, Json]
    state: Json = None


@dataclass(frozen=True, slots=True)
class Speech:
    """Who says it, where a caller speaks for several people: `by` name, and `among` whom, as far as the caller says who
    else hears it. Names are the caller's own, and nobody outside of its calls: they make no principal."""

    by: str = ""
    among: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """One invocation. `id` is an idempotency key, scoped by caller and bound to a hash of the arguments.

    `deadline` is in seconds since the epoch; `trace` a W3C traceparent; `hops` the agents passed, outermost first;
    `parent` the id of the call that caused this one. `method` other than "tools/call" passes what only two ends
    of one network know, through the same policy and audit. `detached`: nobody waits; hanging up does not cancel.
    `answers`: the kinds of `Request` that the caller can answer; others a far side that asks live is refused at once.
    `meta`: what came beside the arguments, for a far side of the same network only. `speech`: for agents that know
    people: whose words these are.
    """

    id: str
    tool: str
    arguments: Mapping[str, Json]
    caller: Caller
    method: str = "tools/call"
    conversation: str | None = None
    deadline: float | None = None
    budget: Decimal | None = None
    trace: str | None = None
    hops: tuple[Hop, ...] = ()
    parent: str | None = None
    answer: Answer | None = None
    detached: bool = False
    answers: frozenset[str] = frozenset({"form", "visit", "sampling", "payment"})
    meta: Mapping[str, Json] = field(default_factory=dict[str, Json])
    speech: Speech = Speech()

    @property
    def remaining(self) -> float | None:
        """Seconds until the deadline, at least 0; None without one."""
        return None if self.deadline is None else max(0.0, self.deadline - time.time())


@dataclass(frozen=True, slots=True)
class CallRecord:
    """A call that is kept: its state, and its events so far."""

    call: Call
    state: Literal["working", "asking", "done", "failed"]
    events: tuple[Event, ...]
    started: float
    ended: float | None
