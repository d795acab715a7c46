"""Every error that crosses the contract. The second level is a decision, the third says why.

    GatewayError
    ├─ CallerError      the caller must change something; a retry of the same call fails again
    │   ├─ Unauthenticated  401  no key, or not a valid one
    │   ├─ Denied           403  the key may not do this
    │   ├─ Unknown          404  no such tool, agent, call or upstream
    │   ├─ BadArguments     400  the arguments do not fit the tool's schema
    │   ├─ Conflict         409  the id was used for another call, or the name is taken
    │   ├─ Expired          410  a token that is used up, too old, or another's
    │   ├─ TooLarge         413  more bytes than this face takes
    │   ├─ BudgetSpent      402  the price is above what the caller may still spend
    │   ├─ LoopCut          409  the chain of calls came back to where it was, or is too deep
    │   └─ Cancelled        409  somebody who may do so cancelled the call
    ├─ Busy             later: `retry_after` seconds
    │   ├─ RateLimited      429  the caller calls too often
    │   ├─ Full             503  the gateway or the far side takes no more work now
    │   └─ Paused           503  the operator stopped this agent
    ├─ RemoteError      the far side answered, and it is its fault
    │   ├─ Refused          502  it understood, and said no or failed
    │   └─ Broken           502  it broke its own protocol
    ├─ Unreachable      the far side did not answer
    │   ├─ ConnectFailed    502  no connection, or it was lost
    │   └─ TimedOut         504  no end before the deadline
    └─ Bug              500  ours; everything else, once, at the outer border

`public` is safe for any caller. `detail` is for the log alone. `delivered` says whether the far side may have begun the
work: "no" may be retried by anybody, "yes" and "unknown" never by itself.
"""

from typing import Any, ClassVar, Literal, TypeAlias

Delivered: TypeAlias = Literal["yes", "no", "unknown"]


class GatewayError(Exception):
    """The root. `code` is the class in snake case, `status` its number where a network speaks HTTP."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "gateway_error"
    usually: ClassVar[Delivered] = "no"
    call_id: str = ""

    def __init__(
        self, public: str, *, detail: str = "", delivered: Delivered | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(public)
        self.public = public
        self.detail = detail
        self.delivered: Delivered = delivered or self.usually
        self.retry_after = retry_after
        """Seconds after which a retry makes sense; None where nobody knows."""

    def problem(self) -> dict[str, Any]:
        """The error as a problem document (RFC 9457)."""
        body: dict[str, Any] = {"type": "about:blank", "title": type(self).__name__, "status": self.status}
        body |= {"detail": self.public, "code": self.code, "delivered": self.delivered}
        if self.call_id:
            body["call"] = self.call_id
        if self.retry_after is not None:
            body["retry_after"] = self.retry_after
        return body

    def __init_subclass__(cls, *, status: int | None = None, usually: Delivered | None = None) -> None:
        name = cls.__name__
        cls.code = "".join(f"_{c.lower()}" if c.isupper() and i else c.lower() for i, c in enumerate(name))
        cls.status = status or cls.status
        cls.usually = usually or cls.usually


class CallerError(GatewayError, status=400): ...


class Unauthenticated(CallerError, status=401): ...


class Denied(CallerError, status=403): ...


class Unknown(CallerError, status=404): ...


class BadArguments(CallerError, status=400): ...


class Conflict(CallerError, status=409): ...


class Expired(CallerError, status=410): ...


class TooLarge(CallerError, status=413): ...


class BudgetSpent(CallerError, status=402): ...


class LoopCut(CallerError, status=409): ...


class Cancelled(CallerError, status=409, usually="unknown"): ...


class Busy(GatewayError, status=503): ...


class RateLimited(Busy, status=429): ...


class Full(Busy, status=503): ...


class Paused(Busy, status=503): ...


class RemoteError(GatewayError, status=502, usually="yes"): ...


class Refused(RemoteError, status=502): ...


class Broken(RemoteError, status=502): ...


class Unreachable(GatewayError, status=502, usually="unknown"): ...


class ConnectFailed(Unreachable, status=502): ...


class TimedOut(Unreachable, status=504): ...


class Bug(GatewayError, status=500, usually="unknown"): ...
