"""Envelopes: read and held against all that they must show, or made and signed. Pure but for the clock.

What is signed is joined without borders: with fields of free length, letters of one could be passed off as another's,
an expiry among them. So each field has here the one form that its writers give it.
"""

import base64
import binascii
import json
import re
import struct
import time
import uuid
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from pydantic import ValidationError
from uagents_core.envelope import Envelope
from uagents_core.models import Model

from adapters.errors import BadArguments, Denied, Expired, Unauthenticated
from adapters.uagents.signing import ADDRESS, Signer, verify

DIGEST = re.compile(r"model:[0-9a-f]{64}\Z")
BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}\Z")
LIFE = 3600.0
"""Seconds for which an envelope may be valid: so long its mark is kept."""
SKEW = 30.0
"""Seconds by which clocks may differ."""
MOST = 2**63


def read(body: bytes) -> Envelope:
    """The envelope in a request, each field in its one form. Raises `BadArguments` in the words of the protocol."""
    try:
        found = Envelope.model_validate_json(body)
    except ValidationError as fault:
        kind = fault.errors(include_url=False, include_input=False, include_context=False)[0]["type"]
        raise BadArguments(
            "empty or invalid payload" if kind == "json_invalid" else "contents do not match envelope schema"
        ) from fault
    numbers = (n for n in (found.expires, found.nonce) if n is not None)
    formed = (
        DIGEST.match(found.schema_digest)
        and BASE64.match(found.payload or "")
        and len(found.payload or "") % 4 == 0
        and len(found.target) == ADDRESS
        and all(0 <= n < MOST for n in numbers)
        and found.sender.isascii()
    )
    if not formed:
        raise BadArguments("contents do not match envelope schema")
    return found


def digest(of: Envelope) -> bytes:
    """What is signed: as `Envelope._digest`."""
    pieces = [of.sender, of.target, str(of.session), of.schema_digest, of.payload or ""]
    numbers = b"".join(struct.pack(">Q", n) for n in (of.expires, of.nonce) if n is not None)
    return sha256("".join(pieces).encode() + numbers).digest()


def require_valid(of: Envelope, unsigned: bool) -> bytes:
    """The digest of an envelope that is in time and signed by its sender; of an unsigned one of a `user` where those
    are let in. Raises `Expired`, `Unauthenticated` or `Denied`."""
    if of.expires is None:
        raise Expired("envelope has no expiry")
    now = time.time()
    if of.expires <= now:
        raise Expired("envelope expired")
    if of.expires > now + LIFE + SKEW:
        raise Expired(f"envelope expires in more than {LIFE:g} seconds")
    signed = digest(of)
    if anonymous(of):
        if not unsigned:
            raise Denied("unsigned envelopes are not taken here")
    elif of.signature is None:
        raise Unauthenticated("Envelope signature is missing")
    elif not verify(of.sender, signed, of.signature):
        raise Unauthenticated("signature verification failed")
    return signed


def anonymous(of: Envelope) -> bool:
    """Whether its sender is a `user`, who signs nothing: anybody can take that name."""
    return of.sender.startswith("user")


def payload(of: Envelope) -> bytes:
    """Raises `BadArguments`."""
    try:
        return base64.b64decode(of.payload or "", validate=True)
    except (binascii.Error, ValueError) as fault:
        raise BadArguments("contents do not match envelope schema") from fault


def document(of: Envelope) -> dict[str, Any]:
    """The payload as a JSON object. Raises `BadArguments`."""
    try:
        found = json.loads(payload(of) or b"{}")
    except (ValueError, RecursionError) as fault:
        raise BadArguments("Message does not conform to expected schema: it is not JSON") from fault
    if not isinstance(found, dict):
        raise BadArguments("Message does not conform to expected schema: it is not an object")
    return found


def session() -> uuid.UUID:
    return uuid.uuid4()


# ---- made here ---------------------------------------------------------------------------------------------------


def make(
    signer: Signer, target: str, session: uuid.UUID, message: "Model | tuple[str, Mapping[str, Any]]", life: float = 60
) -> Envelope:
    """Signed, with an expiry and a nonce: the same message twice is two envelopes.

    `message` is a model, or the digest of one with what it holds.
    """
    if isinstance(message, Model):
        schema, text = Model.build_schema_digest(type(message)), message.json()
    else:
        schema, text = message[0], json.dumps(dict(message[1]))
    made = Envelope(
        version=1, sender=signer.address, target=target, session=session, schema_digest=schema,
        payload=base64.b64encode(text.encode()).decode(), expires=int(time.time() + min(life, LIFE)) + 1,
        nonce=uuid.uuid4().int >> 65,
    )  # fmt: skip
    made.signature = signer.sign_digest(digest(made))
    return made
