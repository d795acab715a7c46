"""A real agent that thinks for 15 s, and real clients that give up after 6: call, interim answer, `get_call`, answer.
It is a call of 150 s through clients of 60, with all times a tenth."""

import time

import pytest

from gateway.testing import Box
from tests.e2e.mcp.test_patience import call, first, interim, key_of, last, looking, words

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("npm")]
LONG = 15.0
GIVES_UP = 6.0
PATIENCE = 5.0
SLOW = f"!slow {LONG * 1000:.0f}"


LATER = [pytest.param(how, marks=pytest.mark.slow) for how in ("legacy", "v1")]


@pytest.mark.parametrize("how", ["auto", "v2", *LATER])
async def test_an_answer_that_takes_longer_than_the_client_waits(home: Box, how: str) -> None:
    key = await key_of(home, "hurried", PATIENCE)
    async with looking(how, f"{await home.serve()}/mcp/all", key, GIVES_UP) as asks:
        quick = await call(asks, "eliza__ask", message="hello there", conversation="slow")
        assert words(quick) == "You said: hello there"
        began = time.monotonic()
        id = await first(asks, "eliza__ask", message=SLOW, conversation="slow")
        while interim(said := await call(asks, "get_call", call=id)):
            assert time.monotonic() - began < 2 * LONG
        assert LONG - 1 < time.monotonic() - began < LONG + GIVES_UP
        assert not said.get("isError")
        assert words(said) == words(await last(asks, id)), "as often as it is asked for"
        assert "still" not in words(said)
