"""A gateway in a process of its own, to be killed: folder and places that may be told, as arguments."""

import asyncio
import json
import sys
from pathlib import Path

from adapters.spi import Upstream
from gateway.telemetry import start_log
from gateway.testing import Box


async def main() -> None:
    start_log("error")
    box = Box(Path(sys.argv[1]), networks={"a2a": {"push_to": sys.argv[2:]}})
    await box.open()
    await box.add(Upstream("world", "fake", "fake://mortal"))
    print(json.dumps({"ready": await box.serve()}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
