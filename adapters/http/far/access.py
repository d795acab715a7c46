"""Which credentials a request carries, by the security schemes of a document."""

import base64
from collections.abc import Mapping
from urllib.parse import quote

from adapters.http.far.document import Document, Faulty
from adapters.http.far.operations import Operation
from adapters.http.far.requests import Parts
from adapters.spi import Json


class Access:
    """`secret` serves any one scheme; `credentials` are by scheme. Without schemes, the secret is a bearer token."""

    def __init__(self, document: Document, secret: str, credentials: Mapping[str, str]) -> None:
        self._secret = secret
        self._credentials = credentials
        self._schemes: dict[str, Mapping[str, Json]] = {}
        components = document.said.get("components")
        schemes = components.get("securitySchemes") if isinstance(components, dict) else None
        for name, one in (schemes or {}).items():
            try:
                self._schemes[name] = document.follow(one)
            except Faulty:
                continue

    def strange(self) -> list[str]:
        """Credentials for schemes that the document does not have."""
        return sorted(self._credentials.keys() - self._schemes.keys())

    def grant(self, operation: Operation, parts: Parts) -> None:
        """Puts in what the first alternative that can be met asks for; nothing where none can be."""
        if not operation.security and not self._schemes and self._secret:
            parts.headers["authorization"] = f"Bearer {self._secret}"
        for schemes in operation.security:
            secrets = [(name, self._known(name, alone=len(schemes) == 1)) for name in schemes]
            if all(secret and name in self._schemes for name, secret in secrets):
                for name, secret in secrets:
                    _show(self._schemes[name], secret, parts)
                return

    def _known(self, name: str, *, alone: bool) -> str:
        only = len(self._schemes) == 1 or alone
        return self._credentials.get(name) or (self._secret if only else "")

    def scrub(self, text: str) -> str:
        """Without the secrets, should a far side repeat them."""
        for secret in (self._secret, *self._credentials.values()):
            text = text.replace(secret, "…") if len(secret) > 3 else text
        return text


def _show(scheme: Mapping[str, Json], secret: str, parts: Parts) -> None:
    kind, name = scheme.get("type"), str(scheme.get("name") or "")
    if kind == "apiKey" and scheme.get("in") == "query":
        parts.query.append(f"{quote(name, safe='')}={quote(secret, safe='')}")
    elif kind == "apiKey" and scheme.get("in") == "cookie":
        parts.cookies.append(f"{quote(name, safe='')}={quote(secret, safe='')}")
    elif kind == "apiKey":
        parts.headers[name.lower()] = secret
    elif kind == "http" and str(scheme.get("scheme", "")).lower() == "basic":
        parts.headers["authorization"] = "Basic " + base64.b64encode(secret.encode()).decode()
    else:
        parts.headers["authorization"] = f"Bearer {secret}"
