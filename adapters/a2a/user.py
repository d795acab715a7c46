"""The caller, as the SDK knows users."""

from a2a.auth.user import User

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
