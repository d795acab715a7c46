"""The OpenAPI document is true: schemathesis finds no 5xx, and no answer that is not in it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from gateway.testing import Box
from tests.gateway.test_operator import Process


@pytest.mark.e2e
@pytest.mark.timeout(240)
async def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    process = Process(tmp_path)
    allowed = [word for tool in ("echo", "add", "parts", "count", "remember") for word in ("--allow", f"all__{tool}")]
    key = process.run("keys", "create", "fuzz", "--role", "call", "--role", "admin", *allowed).stdout.strip()
    url = await process.start()
    await fuzz(tmp_path, f"{url}/openapi.json", key, "--exclude-path-regex", "/v1/keys")
    only = ["--allow", "all__add", "--allow", "all__parts", "--allow", "all__remember", "--allow", "all__ask"]
    key = process.run("keys", "create", "view", *only).stdout.strip()
    await fuzz(tmp_path, f"{url}/v1/views/all/openapi.json", key)
    await process.end()


async def fuzz(folder: Path, document: str, key: str, *more: str) -> None:
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    words = [
        "run",
        document,
        "--checks",
        checks,
        "--max-examples",
        "15",
        "--seed",
        "1",
        "--phases",
        "examples,fuzzing",
    ]
    words += ["-H", f"Authorization: Bearer {key}", "--suppress-health-check", "all", *more]
    command = [str(Path(sys.executable).parent / "schemathesis"), *words]
    import asyncio

    environment = {**os.environ, "NO_COLOR": "1"}
    done = await asyncio.to_thread(subprocess.run, command, cwd=folder, capture_output=True, text=True, env=environment)
    report = [line for line in done.stdout.splitlines() if "502" not in line]
    assert done.returncode == 0, "\n".join(report)[-4000:]


async def test_each_path_is_described_once_and_the_document_is_valid(box: Box) -> None:
    async with httpx2.AsyncClient(base_url=await box.serve()) as client:
        document = (await client.get("/openapi.json")).json()
    assert document["openapi"] == "3.1.0"
    assert {"/v1/tools/{tool}/calls", "/v1/calls/{id}", "/v1/upstreams", "/v1/keys"} <= set(document["paths"])
    text = json.dumps(document)
    for reference in {part.split('"')[0] for part in text.split('"$ref": "#/components/schemas/')[1:]}:
        assert reference in document["components"]["schemas"]
