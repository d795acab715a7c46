"""The caller, as the SDK knows users, and what is carried along with a request."""

from typing import Any

from a2a.auth.user import User
from a2a.server.context import ServerCallContext

from adapters.spi import Caller


class KnownUser(User):
    """Tasks are owned by `user_name`: the caller's id."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller

    @property
    def is_authenticated(self) -> bool:
        return True

    @property
    def user_name(self) -> str:
        return self.caller.id


def context(agent: str, user: KnownUser, state: dict[str, Any]) -> ServerCallContext:
    """What the SDK carries along: the caller and the agent."""
    return ServerCallContext(user=user, state={**state, "agent": agent})


def owner(context: ServerCallContext) -> str:
    """The caller, and the agent that it talks with: nobody reads another's task, at any agent."""
    return f"{context.state['agent']}\n{context.user.user_name}"
