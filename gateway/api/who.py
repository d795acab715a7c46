"""Who asks `/v1`, as FastAPI hands it to a function."""

from typing import Annotated

from fastapi import Depends, Request

from adapters.spi import Caller
from gateway import policy


def caller(request: Request) -> Caller:
    found: Caller = request.scope["caller"]
    return found


def admin(request: Request) -> Caller:
    found = caller(request)
    policy.require_role(found, "admin")
    return found


def registrant(request: Request) -> Caller:
    found = caller(request)
    policy.require_role(found, "register")
    return found


Anybody = Annotated[Caller, Depends(caller)]
Admin = Annotated[Caller, Depends(admin)]
Registrant = Annotated[Caller, Depends(registrant)]
