"""A client of A2A 0.3, by the Python SDK of that time (0.3.26): `python old_client.py URL-OF-AGENT TEXT`.

It runs in an environment of its own, and prints the pieces that were streamed as one JSON list.
"""

import asyncio
import json
import sys

import httpx
from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.client.helpers import create_text_message_object


async def main() -> None:
    url, text = sys.argv[1:]
    async with httpx.AsyncClient(timeout=60) as http:
        card = await A2ACardResolver(http, url).get_agent_card()
        client = ClientFactory(ClientConfig(httpx_client=http, streaming=True)).create(card)
        pieces = []
        async for event in client.send_message(create_text_message_object(content=text)):
            update = event[1] if isinstance(event, tuple) else None
            if update is not None and update.kind == "artifact-update":
                pieces += [part.root.text for part in update.artifact.parts]
    print(json.dumps(pieces))


asyncio.run(main())
