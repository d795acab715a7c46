"""Services with an OpenAPI document pass the suite."""

from adapters.conformance import suite
from adapters.http.far_testing import HttpFarSide

TestHttpFar = suite("http", HttpFarSide)
