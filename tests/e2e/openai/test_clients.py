"""The official clients of Python and JavaScript hold a streamed conversation with a real ElizaOS agent."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI

from examples.tour.eliza import NODE, npm_ci
from gateway.testing import Box

pytestmark = pytest.mark.e2e
HERE = Path(__file__).parent
TALK = ("!talk Freddy", "!talk Pickering")


async def test_python(home: Box) -> None:
    url = await home.serve()
    client = AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
    assert sorted([one.id async for one in client.models.list()]) == ["eliza", "higgins"]
    messages: list[Any] = []
    for said in TALK:
        messages.append({"role": "user", "content": said})
        pieces = [
            one.choices[0].delta.content or ""
            async for one in await client.chat.completions.create(model="eliza", messages=messages, stream=True)
        ]
        messages.append({"role": "assistant", "content": "".join(pieces)})
    await client.close()
    answer = messages[-1]["content"]
    assert answer == "Freddy Pickering", "only what is new is said, in the conversation that the agent keeps"


async def test_javascript(home: Box) -> None:
    npm_ci(HERE, print)
    url = await home.serve()
    child = await asyncio.create_subprocess_exec(
        NODE, "client.mjs", f"{url}/v1", "eliza", cwd=HERE, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await child.communicate()
    found = json.loads(out)
    assert sorted(found["models"]) == ["eliza", "higgins"]
    assert found["unknown"] == "404 model_not_found"
    first, second = ("".join(pieces) for pieces in found["answers"])
    assert (first, second) == ("Freddy", "Freddy Pickering")
