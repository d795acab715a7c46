"""The requirements of A2A 1.0 that are about bytes: JSON-RPC and HTTP+JSON as they go over the wire, pushes, cards."""

import asyncio
import base64
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import grpc
import httpx
import orjson
import pytest
import uvicorn
from a2a.client.card_resolver import parse_agent_card
from a2a.types import GetTaskRequest, a2a_pb2, a2a_pb2_grpc
from a2a.utils.signing import _canonicalize_agent_card
from jwt import PyJWK, api_jws
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adapters.spi import Upstream
from gateway.testing import Box
from tests.e2e.a2a.kit import PORTS, must

pytestmark = pytest.mark.e2e
VERSION = {"a2a-version": "1.0"}


@asynccontextmanager
async def web(url: str, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=url, headers={**VERSION, **headers}, timeout=30) as client:
        yield client


def message(id: str = "tck-complete-task", **more: Any) -> dict[str, Any]:
    said = {"messageId": f"{id}-1", "role": "ROLE_USER", "parts": [{"text": "hi"}], **more}
    return {"message": said}


async def rpc(client: httpx.AsyncClient, method: str, params: Any, id: Any = 7) -> Any:
    body = {"jsonrpc": "2.0", "id": id, "method": method, "params": params}
    return (await client.post("/a2a/kit", json=body)).json()


@must("JSONRPC-FMT-001", "JSONRPC-FMT-002", "JSONRPC-SVC-001", "DM-SERIAL-001", "DM-SERIAL-002", "DM-SERIAL-003")
@must("DM-SERIAL-004")
async def test_json_rpc_as_it_is_written(kit: str) -> None:
    async with web(kit) as client:
        body = {"jsonrpc": "2.0", "id": "a", "method": "SendMessage", "params": message()}
        answer = await client.post("/a2a/kit", json=body)
        assert answer.headers["content-type"] == "application/json"
        said = answer.json()
        assert (said["jsonrpc"], said["id"]) == ("2.0", "a")
        task = said["result"]["task"]
        assert task["status"]["state"] == "TASK_STATE_COMPLETED"
        assert task["contextId"]
        assert {"id", "contextId", "status"} <= task.keys()
        stamp = task["status"]["timestamp"]
        assert stamp.endswith("Z")
        assert datetime.fromisoformat(stamp).utcoffset() is not None


@must("JSONRPC-ERR-001", "JSONRPC-ERR-002", "JSONRPC-ERR-003", "JSONRPC-SSE-002")
async def test_json_rpc_errors(kit: str) -> None:
    async with web(kit) as client:
        error = (await rpc(client, "GetTask", {"id": "nothing"}))["error"]
        assert error["code"] == -32001
        assert isinstance(error["message"], str)
        (detail,) = [one for one in error["data"] if one["@type"].endswith("google.rpc.ErrorInfo")]
        assert detail["domain"] == "a2a-protocol.org"
        assert (await rpc(client, "Sing", {}))["error"]["code"] == -32601
        assert (await rpc(client, "GetTask", {"strange": 1}))["error"]["code"] == -32602
        garbage = await client.post("/a2a/kit", content=b"{", headers={"content-type": "application/json"})
        assert garbage.json()["error"]["code"] == -32700
        task = (await rpc(client, "SendMessage", message()))["result"]["task"]["id"]
        assert (await rpc(client, "CancelTask", {"id": task}))["error"]["code"] == -32002
        again = await rpc(client, "SendMessage", message(taskId=task))
        assert again["error"]["code"] == -32004


@must("JSONRPC-SSE-001", "HTTP_JSON-SSE-001")
async def test_streams_are_server_sent_events(kit: str) -> None:
    async with web(kit) as client:
        body = {"jsonrpc": "2.0", "id": 1, "method": "SendStreamingMessage", "params": message("tck-stream-001")}
        places = (("/a2a/kit", body), ("/a2a/kit/rest/message:stream", message("tck-stream-001")))
        for place, said in places:
            async with client.stream("POST", place, json=said) as answer:
                assert answer.headers["content-type"].startswith("text/event-stream")
                lines = [line async for line in answer.aiter_lines() if line.startswith("data: ")]
            events = [orjson.loads(line[6:]) for line in lines]
            events = [one.get("result", one) for one in events]
            assert "task" in events[0]
            assert events[-1]["statusUpdate"]["status"]["state"] == "TASK_STATE_COMPLETED"


@must("HTTP_JSON-URL-001", "HTTP_JSON-URL-002", "HTTP_JSON-SVC-001", "HTTP_JSON-QP-001")
async def test_http_json_as_it_is_written(kit: str) -> None:
    async with web(f"{kit}/a2a/kit/rest") as client:
        answer = await client.post("/message:send", json=message(contextId="rest-context"))
        assert answer.headers["content-type"].startswith("application/json")
        task = answer.json()["task"]
        assert (await client.get(f"/tasks/{task['id']}")).json()["id"] == task["id"]
        listed = (await client.get("/tasks", params={"contextId": "rest-context", "pageSize": 1})).json()
        assert [one["id"] for one in listed["tasks"]] == [task["id"]]
        own = await client.get(f"/tasks/{task['id']}", headers={"accept": "application/a2a+json"})
        assert own.headers["content-type"].startswith("application/a2a+json")
        assert (await client.post(f"/tasks/{task['id']}:cancel", json={})).status_code == 400
        assert (await client.put("/message:send", json={})).status_code in (404, 405)


@must("HTTP_JSON-ERR-001", "HTTP_JSON-ERR-002", "HTTP_JSON-STATUS-001")
async def test_http_json_errors(kit: str) -> None:
    async with web(f"{kit}/a2a/kit/rest") as client:
        answer = await client.get("/tasks/nothing")
        assert answer.status_code == 404
        error = answer.json()["error"]
        assert (error["code"], error["status"]) == (404, "NOT_FOUND")
        (detail,) = [one for one in error["details"] if one["@type"].endswith("google.rpc.ErrorInfo")]
        assert detail["reason"] == "TASK_NOT_FOUND"


@must("VER-SERVER-001", "VER-SERVER-002", "VER-SERVER-003", "VER-CLIENT-002")
async def test_versions(kit: str) -> None:
    """An unknown one is refused by name; a patch is none of its own; none at all means 0.3, which is spoken."""
    async with web(kit, **{"a2a-version": "99.0"}) as client:
        assert (await rpc(client, "SendMessage", message()))["error"]["code"] == -32009
    async with web(kit, **{"a2a-version": "1.0.7"}) as client:
        assert "result" in await rpc(client, "SendMessage", message())
    async with httpx.AsyncClient(base_url=kit) as client:
        said = {"messageId": "tck-complete-task-9", "role": "user", "kind": "message",
                "parts": [{"kind": "text", "text": "hi"}]}  # fmt: skip
        old = await rpc(client, "message/send", {"message": said})
        assert old["result"]["kind"] == "task"
        assert old["result"]["status"]["state"] == "completed"


@must("CARD-DISC-001", "CARD-STRUCT-001", "CARD-PROTO-001", "CARD-PROTO-002", "BIND-FIELD-001")
async def test_cards_are_found_and_name_each_face(kit: str) -> None:
    async with web(kit) as client:
        answer = await client.get("/a2a/kit/.well-known/agent-card.json")
        card = answer.json()
        assert answer.headers["cache-control"]
        assert answer.headers["last-modified"]
        again = {"if-none-match": answer.headers["etag"]}
        assert (await client.get("/a2a/kit/.well-known/agent-card.json", headers=again)).status_code == 304
        needed = {"name", "description", "version", "capabilities", "skills", "defaultInputModes"}
        assert needed | {"supportedInterfaces", "defaultOutputModes"} <= card.keys()
        faces = {one["protocolBinding"]: one["url"] for one in card["supportedInterfaces"]}
        assert faces.keys() == {"JSONRPC", "HTTP+JSON", "GRPC"}
        own = (await client.get("/.well-known/agent-card.json")).json()
        assert [skill["id"] for skill in own["skills"]] == ["kit"]
        assert own["skills"][0]["examples"] == [f"{kit}/a2a/kit/.well-known/agent-card.json"]


async def test_a_card_has_the_skills_that_its_reader_may_use(box: Box) -> None:
    """With a key; without one it is not read, unless the operator lets cards be public."""
    await box.add(Upstream("world", "fake", "fake://cards"))
    url = await box.serve()
    key = await box.key("ann", ("all__add", "all__echo"))
    place = "/a2a/all/.well-known/agent-card.json"
    async with web(url) as nobody, web(url, authorization=f"Bearer {key}") as ann:
        assert (await nobody.get(place)).status_code == 401
        skills = (await ann.get(place)).json()["skills"]
        assert sorted(skill["id"] for skill in skills) == ["add", "echo"]
        assert (await ann.get("/.well-known/agent-card.json")).json()["skills"][0]["id"] == "all"
        assert (await ann.get("/a2a/nobody/.well-known/agent-card.json")).status_code == 404


async def test_public_cards_are_read_by_all_and_nothing_else_is(tmp_path: Path) -> None:
    box = Box(tmp_path, networks={"a2a": {"cards": "public"}})
    await box.open()
    try:
        await box.add(Upstream("world", "fake", "fake://cards"))
        url = await box.serve()
        await box.key("ann")
        async with web(url) as nobody:
            assert (await nobody.get("/a2a/all/.well-known/agent-card.json")).status_code == 200
            body = {"jsonrpc": "2.0", "id": 1, "method": "ListTasks", "params": {}}
            assert (await nobody.post("/a2a/all", json=body)).status_code == 401
    finally:
        await box.close()


async def test_the_gateway_is_an_agent_whose_skills_are_agents(kit: str) -> None:
    async with web(kit) as client:

        async def say(**metadata: str) -> Any:
            body = {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": message(metadata=metadata)}
            return (await client.post("/a2a", json=body)).json()

        for skill in ("kit", "kit__ask"):
            task = (await say(skill=skill))["result"]["task"]
            assert task["artifacts"][0]["parts"] == [{"text": "Hello from TCK"}]
        assert "name one of the card's skills" in (await say())["error"]["message"]


@must("CARD-SIGN-001", "CARD-SIGN-002", "CARD-SIGN-003")
async def test_cards_are_signed_by_a_key_that_is_shown(kit: str) -> None:
    """By hand: the canonical card without its signatures, under the key of the set."""
    async with web(kit) as client:
        card = (await client.get("/a2a/kit/.well-known/agent-card.json")).json()
        (signature,) = card["signatures"]
        header = orjson.loads(base64.urlsafe_b64decode(signature["protected"] + "=="))
        assert (header["alg"], header["typ"], header["jku"]) == ("ES256", "JOSE", f"{kit}/a2a/keys")
        (key,) = (await client.get("/a2a/keys")).json()["keys"]
        assert key["kid"] == header["kid"]
        assert "d" not in key
        payload = base64.urlsafe_b64encode(_canonicalize_agent_card(parse_agent_card(card)).encode()).rstrip(b"=")
        token = f"{signature['protected']}.{payload.decode()}.{signature['signature']}"
        assert api_jws.decode(token, PyJWK(key), algorithms=["ES256"])
        altered = token.replace(payload.decode()[:8], payload.decode()[:8].swapcase())
        with pytest.raises(Exception, match=r"(?i)signature|decode"):
            api_jws.decode(altered, PyJWK(key), algorithms=["ES256"])


@must("GRPC-ERR-001", "GRPC-ERR-002", "GRPC-SVC-002")
async def test_grpc_errors_have_their_details(kit: str) -> None:
    async with web(kit) as client:
        card = (await client.get("/a2a/kit/.well-known/agent-card.json")).json()
    (at,) = [one["url"] for one in card["supportedInterfaces"] if one["protocolBinding"] == "GRPC"]
    async with grpc.aio.insecure_channel(at) as channel:
        stub: Any = a2a_pb2_grpc.A2AServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.GetTask(GetTaskRequest(id="nothing", tenant="kit"), metadata=[("a2a-version", "1.0")])
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        details: Any = dict(caught.value.trailing_metadata() or ())["grpc-status-details-bin"]
        assert b"TASK_NOT_FOUND" in bytes(details)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.GetTask(GetTaskRequest(id="x"), metadata=[("a2a-version", "0.3")])
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        answer = await stub.ListTasks(a2a_pb2.ListTasksRequest(), metadata=[("a2a-version", "1.0")])
        assert answer.page_size, "who names no agent means the only one that there is"


# ---- pushes ---------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def listening() -> AsyncIterator[list[tuple[dict[str, str], Any]]]:
    """A webhook at the place to which this gateway may push."""
    heard: list[tuple[dict[str, str], Any]] = []

    async def hook(request: Request) -> Response:
        heard.append((dict(request.headers), orjson.loads(await request.body())))
        return Response()

    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", PORTS["push"]))
        app = Starlette(routes=[Route("/hook", hook, methods=["POST"])])
        config = uvicorn.Config(app, lifespan="off", log_config=None)
        server = uvicorn.Server(config)
        task = asyncio.create_task(server._serve([sock]), name="hook")
        while not server.started:
            await asyncio.sleep(0.01)
        yield heard
        server.should_exit = server.force_exit = True
        await task


@must("PUSH-CREATE-001", "PUSH-CREATE-002", "PUSH-GET-001", "PUSH-GET-002", "PUSH-LIST-001", "PUSH-DEL-001")
@must("PUSH-DEL-002", "PUSH-DELIVER-001", "PUSH-DELIVER-002", "PUSH-DELIVER-003")
async def test_a_task_is_told_to_whoever_wants_to_hear(kit: str) -> None:
    url = f"http://127.0.0.1:{PORTS['push']}/hook"
    async with web(kit) as client, listening() as heard:
        task = (await rpc(client, "SendMessage", message("tck-input-required")))["result"]["task"]["id"]
        said = {"taskId": task, "id": "mine", "url": url, "token": "t0ken",
                "authentication": {"scheme": "Bearer", "credentials": "s3cret"}}  # fmt: skip
        made = (await rpc(client, "CreateTaskPushNotificationConfig", said))["result"]
        assert (made["id"], made["url"]) == ("mine", url)
        which = {"taskId": task, "id": "mine"}
        assert (await rpc(client, "GetTaskPushNotificationConfig", which))["result"]["url"] == url
        listed = (await rpc(client, "ListTaskPushNotificationConfigs", {"taskId": task}))["result"]
        assert [one["id"] for one in listed["configs"]] == ["mine"]
        missing = {"taskId": task, "id": "other"}
        assert "error" in await rpc(client, "GetTaskPushNotificationConfig", missing)
        await rpc(client, "SendMessage", message(taskId=task))
        for _ in range(500):
            if any(state(body) == "TASK_STATE_COMPLETED" for _, body in heard):
                break
            await asyncio.sleep(0.01)
        headers, body = heard[-1]
        assert state(body) == "TASK_STATE_COMPLETED"
        assert set(body) <= {"task", "statusUpdate", "artifactUpdate", "message"}
        assert headers["authorization"] == "Bearer s3cret"
        assert headers["x-a2a-notification-token"] == "t0ken"
        for _ in range(2):
            gone = await rpc(client, "DeleteTaskPushNotificationConfig", which)
            assert "error" not in gone
        assert not (await rpc(client, "ListTaskPushNotificationConfigs", {"taskId": task}))["result"].get("configs")


def state(body: Any) -> str:
    update = body.get("statusUpdate") or body.get("task") or {}
    return str(update.get("status", {}).get("state", ""))


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/hook", "http://localhost:8700/v1/keys", "http://169.254.169.254/latest", "http://[::1]/x",
        "ftp://example.com/x", "file:///etc/passwd", "http://10.0.0.1/x", "http://user:pass@example.com/x", "nonsense",
        "http://2130706433/x", "http://[::ffff:127.0.0.1]/x", "https://",
    ],
)  # fmt: skip
async def test_nobody_is_told_at_places_inside(kit: str, url: str) -> None:
    async with web(kit) as client:
        task = (await rpc(client, "SendMessage", message("tck-input-required")))["result"]["task"]["id"]
        error = (await rpc(client, "CreateTaskPushNotificationConfig", {"taskId": task, "url": url}))["error"]
        assert error["code"] == -32602
        assert not re.search("Traceback|File ", str(error))


@must("VER-CLIENT-001", "CARD-SIGN-004")
async def test_what_our_own_client_sends_and_trusts() -> None:
    """Shown by `tests/adapters/a2a/test_a2a_cards.py`, where the far side looks at it."""
    from tests.adapters.a2a import test_a2a_cards as shown

    assert shown.test_each_request_names_the_version
    assert shown.test_a_key_that_is_shown_no_more_signs_nothing
