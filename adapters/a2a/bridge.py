"""httpx over the host's connections: the SDK speaks httpx, and every address still passes the host's guard."""

from collections.abc import AsyncIterator

import httpx
import httpx2

FAULTS: tuple[tuple[type[Exception], type[httpx.TransportError]], ...] = (
    (httpx2.ConnectTimeout, httpx.ConnectTimeout),
    (httpx2.ConnectError, httpx.ConnectError),
    (httpx2.PoolTimeout, httpx.PoolTimeout),
    (httpx2.TimeoutException, httpx.ReadTimeout),
    (httpx2.RemoteProtocolError, httpx.RemoteProtocolError),
    (httpx2.TransportError, httpx.ReadError),
)


class _Body(httpx.AsyncByteStream):
    """The body of an answer, with its faults in the other's words."""

    def __init__(self, response: httpx2.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._response.aiter_raw():
                yield chunk
        except httpx2.TransportError as fault:
            raise translated(fault) from fault

    async def aclose(self) -> None:
        await self._response.aclose()


class Bridge(httpx.AsyncBaseTransport):
    """Sends what httpx asks for by a client of httpx2."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        timeout = httpx2.Timeout(30, read=None, pool=5)  # the call path watches the deadline
        sent = self._http.build_request(
            request.method, str(request.url), headers=list(request.headers.items()), content=await request.aread(),
            timeout=timeout,
        )  # fmt: skip
        try:
            response = await self._http.send(sent, stream=True)
        except httpx2.TransportError as fault:
            raise translated(fault) from fault
        return httpx.Response(
            response.status_code, headers=list(response.headers.multi_items()), stream=_Body(response)
        )


def translated(fault: httpx2.TransportError) -> httpx.TransportError:
    for theirs, ours in FAULTS:
        if isinstance(fault, theirs):
            return ours(str(fault))
    return httpx.ReadError(str(fault))


def client(http: httpx2.AsyncClient, headers: dict[str, str] | None = None) -> httpx.AsyncClient:
    """Close it when done; the connections stay the host's. It follows no redirects."""
    return httpx.AsyncClient(transport=Bridge(http), headers=headers, follow_redirects=False)
