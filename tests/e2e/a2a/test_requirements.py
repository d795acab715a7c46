"""The requirements of A2A 1.0, by the ids of its compatibility kit, over all three faces."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from a2a.types import (
    CancelTaskRequest,
    GetExtendedAgentCardRequest,
    GetTaskRequest,
    ListTasksRequest,
    Role,
    SubscribeToTaskRequest,
    TaskState,
)
from a2a.utils.errors import A2AError

from adapters.a2a.translate import ENDED, data
from adapters.spi import Upstream
from gateway.testing import Box
from tests.e2e.a2a.kit import BINDINGS, MUST, NOT_HERE, SHOWN, done, free, heard, must, request, talking, text_of
from tests.e2e.a2a.scenarios import Scenarios

pytestmark = [pytest.mark.e2e, pytest.mark.parametrize("binding", BINDINGS)]


@must("CORE-SEND-001", "CORE-EXECUTION-MODE-001", "CORE-GET-001", "DM-TASK-001", "DM-STATUS-001", "DM-TASK-002")
@must("CORE-MULTI-001a", "CORE-MULTI-003", "DM-ART-001", "BIND-EQUIV-001", "BIND-EQUIV-002", "GRPC-SVC-001")
async def test_a_message_becomes_a_task_that_ends(kit: str, binding: str) -> None:
    async with talking(kit, binding) as client:
        first, second = [await done(client, request("tck-complete-task")) for _ in range(2)]
        assert first.status.state == TaskState.TASK_STATE_COMPLETED
        assert text_of(first) == "Hello from TCK"
        assert first.context_id
        assert first.artifacts[0].artifact_id
        assert first.id != second.id
        assert first.context_id != second.context_id


@must("CORE-STREAM-001", "CORE-STREAM-003", "STREAM-ORDER-001", "GRPC-ERR-003")
async def test_a_stream_begins_with_its_task_and_ends_with_its_state(kit: str, binding: str) -> None:
    async with talking(kit, binding) as client:
        events = await heard(client, request("tck-stream-artifact-chunked"))
        kinds = [one.WhichOneof("payload") for one in events]
        assert kinds[0] == "task"
        pieces = [e.artifact_update for e in events if e.WhichOneof("payload") == "artifact_update"]
        assert [p.artifact.parts[0].text for p in pieces] == ["chunk-1 ", "chunk-2"]
        assert [(p.append, p.last_chunk) for p in pieces] == [(False, False), (True, True)]
        assert events[-1].status_update.status.state == TaskState.TASK_STATE_COMPLETED


@must("CORE-STREAM-002", "DM-MSG-001", "DM-MSG-002")
async def test_an_answer_that_is_a_message_is_the_only_event(kit: str, binding: str) -> None:
    async with talking(kit, binding) as client:
        events = await heard(client, request("tck-message-response"))
        assert [one.WhichOneof("payload") for one in events] == ["message"]
        assert text_of(events[0].message) == "Direct message response"
        assert events[0].message.message_id


@pytest.mark.parametrize(
    ("id", "kind", "field"),
    [
        ("tck-artifact-text", "text", "Generated text content"),
        ("tck-artifact-file-url", "url", "https://example.com/output.txt"),
        ("tck-artifact-file", "raw", b"Generated file content"),
        ("tck-artifact-data", "data", data({"key": "value", "count": 42}).data),
    ],
)
@must("DM-PART-001")
async def test_parts_keep_their_kind(kit: str, binding: str, id: str, kind: str, field: Any) -> None:
    async with talking(kit, binding) as client:
        (part,) = (await done(client, request(id))).artifacts[0].parts
        assert part.WhichOneof("content") == kind
        assert getattr(part, kind) == field
        if "file" in id:
            assert (part.filename, part.media_type) == ("output.txt", "text/plain")


@must("CORE-EXECUTION-MODE-002", "STREAM-SUB-001", "STREAM-SUB-002", "STREAM-ORDER-002", "STREAM-ORDER-003")
@must("STREAM-ORDER-004", "CORE-CANCEL-001")
async def test_who_does_not_wait_may_listen_later_and_cancel(kit: str, binding: str) -> None:
    async with talking(kit, binding) as client:
        stream: Any = client.send_message(request("test-resubscribe-message-id"))
        task = (await anext(stream)).task

        async def follow(count: int = 0) -> list[Any]:
            found: list[Any] = []
            async for event in client.subscribe(SubscribeToTaskRequest(id=task.id)):
                found.append(event)
                if len(found) == count:
                    break
            return found

        short = await follow(1)
        assert short[0].task.id == task.id
        one, two = asyncio.create_task(follow()), asyncio.create_task(follow())
        await asyncio.sleep(0.3)
        cancelled = await client.cancel_task(CancelTaskRequest(id=task.id))
        assert cancelled.status.state == TaskState.TASK_STATE_CANCELED
        first, second = await asyncio.gather(one, two)
        assert first[0].WhichOneof("payload") == "task"
        assert [str(event) for event in first[1:]] == [str(event) for event in second[1:]]
        await stream.aclose()
        again = (await client.get_task(GetTaskRequest(id=task.id))).status.state
        assert again == TaskState.TASK_STATE_CANCELED


@must("CORE-EXECUTION-MODE-002")
async def test_an_answer_may_come_at_once(kit: str, binding: str) -> None:
    async with talking(kit, binding) as client:
        inner: Any = client
        inner._config.streaming = False
        (event,) = await heard(client, request("test-resubscribe-message-id", return_immediately=True))
        assert event.task.status.state not in ENDED
        await client.cancel_task(CancelTaskRequest(id=event.task.id))


async def refused(call: Any) -> str:
    """The name of the error that it ends with."""
    with pytest.raises(A2AError) as caught:
        await call
    return type(caught.value).__name__


@must("CORE-GET-002", "CORE-CANCEL-003", "CORE-MULTI-004", "STREAM-SUB-004", "CORE-ERR-001", "BIND-EQUIV-003")
async def test_what_is_not_there(kit: str, binding: str) -> None:
    async def listen(client: Any) -> None:
        async for _ in client.subscribe(SubscribeToTaskRequest(id="nothing")):
            pass

    async with talking(kit, binding) as client:
        assert await refused(client.get_task(GetTaskRequest(id="nothing"))) == "TaskNotFoundError"
        assert await refused(client.cancel_task(CancelTaskRequest(id="nothing"))) == "TaskNotFoundError"
        assert await refused(heard(client, request("x", task="nothing"))) == "TaskNotFoundError"
        assert await refused(listen(client)) == "TaskNotFoundError"


@must("CORE-SEND-002", "CORE-CANCEL-002", "STREAM-SUB-003")
async def test_what_has_ended_takes_no_more(kit: str, binding: str) -> None:
    async def listen(client: Any, id: str) -> None:
        async for _ in client.subscribe(SubscribeToTaskRequest(id=id)):
            pass

    async with talking(kit, binding) as client:
        task = await done(client, request("tck-complete-task"))
        assert await refused(heard(client, request("x", task=task.id))) == "UnsupportedOperationError"
        assert await refused(client.cancel_task(CancelTaskRequest(id=task.id))) == "TaskNotCancelableError"
        assert await refused(listen(client, task.id)) == "UnsupportedOperationError"


@must("CORE-SEND-003", "CORE-ERR-002")
async def test_what_an_agent_does_not_take_is_refused_by_name(kit: str, binding: str) -> None:
    async with talking(kit, binding) as client:
        picture = request("tck-complete-task")
        picture.message.parts[0].raw, picture.message.parts[0].media_type = b"\x89PNG", "image/png"
        assert await refused(heard(client, picture)) == "ContentTypeNotSupportedError"
        empty = request("tck-complete-task")
        del empty.message.parts[:]
        assert await refused(heard(client, empty)) == "InvalidParamsError"


@must("CORE-MULTI-005", "CORE-MULTI-006")
async def test_a_task_that_asks_is_answered_in_its_context(kit: str, binding: str) -> None:
    async with talking(kit, binding) as client:
        task = await done(client, request("tck-input-required"))
        assert task.status.state == TaskState.TASK_STATE_INPUT_REQUIRED
        assert "Which one?" in task.status.message.parts[0].text
        wrong = request("x", task=task.id, context="another")
        assert await refused(heard(client, wrong)) == "InvalidParamsError"
        await heard(client, request("tck-input-required", "the blue one", task=task.id))
        again = await client.get_task(GetTaskRequest(id=task.id))
        assert again.status.state == TaskState.TASK_STATE_INPUT_REQUIRED
        await heard(client, request("tck-complete-task", "the light blue one", task=task.id))
        ended = await client.get_task(GetTaskRequest(id=task.id))
        assert ended.status.state == TaskState.TASK_STATE_COMPLETED
        said = [one.parts[0].text for one in ended.history if one.role == Role.ROLE_USER]
        assert said == ["hello", "the blue one", "the light blue one"]
        assert ended.context_id == task.context_id


@must("CORE-HIST-002")
async def test_no_more_history_than_was_asked_for(kit: str, binding: str) -> None:
    async with talking(kit, binding) as client:
        task = await done(client, request("tck-complete-task"))
        none = await client.get_task(GetTaskRequest(id=task.id, history_length=0))
        one = await client.get_task(GetTaskRequest(id=task.id, history_length=1))
        assert (len(none.history), len(one.history)) == (0, 1)


@must("CORE-LIST-002", "CORE-LIST-003", "CORE-LIST-004", "CORE-LIST-005")
async def test_lists_have_pages_and_an_order(kit: str, binding: str) -> None:
    async with talking(kit, binding) as client:
        context = f"list-{binding}"
        made = [await done(client, request("tck-complete-task", context=context)) for _ in range(3)]
        first = await client.list_tasks(ListTasksRequest(context_id=context, page_size=2))
        rest = await client.list_tasks(
            ListTasksRequest(context_id=context, page_size=2, page_token=first.next_page_token)
        )
        assert [one.id for one in (*first.tasks, *rest.tasks)] == [one.id for one in reversed(made)]
        assert (first.total_size, bool(first.next_page_token), rest.next_page_token) == (3, True, "")
        assert not any(task.artifacts for task in first.tasks)
        full = await client.list_tasks(ListTasksRequest(context_id=context, include_artifacts=True))
        assert all(task.artifacts for task in full.tasks)


@must("AUTH-SERVER-002", "AUTH-SCOPE-001", "AUTH-SCOPE-002", "AUTH-SCOPE-003", "CORE-LIST-001", "BIND-EQUIV-004")
@must("CARD-EXT-001", "GRPC-META-001", "HTTP_JSON-SVC-002", "JSONRPC-SVC-002")
async def test_nobody_reads_anothers_task(tmp_path: Path, binding: str) -> None:
    """Not by get, list, cancel or listening; it is as if it were not there. And without a key, nothing is."""
    box = Box(tmp_path, networks={"a2a": {"grpc": f"127.0.0.1:{free()}"}})
    await box.open()
    try:
        await box.add(Upstream("kit", "scenarios"), Scenarios())
        url = await box.serve()
        ann, bob = await box.key("ann"), await box.key("bob")
        async with talking(url, binding, ann) as hers:
            task = await done(hers, request("tck-input-required"))
            card = await hers.get_extended_agent_card(GetExtendedAgentCardRequest())
            assert [skill.id for skill in card.skills] == ["ask"]
        async with talking(url, binding, bob) as his:
            assert await refused(his.get_task(GetTaskRequest(id=task.id))) == "TaskNotFoundError"
            assert await refused(his.cancel_task(CancelTaskRequest(id=task.id))) == "TaskNotFoundError"
            assert await refused(heard(his, request("x", task=task.id))) == "TaskNotFoundError"
            assert not (await his.list_tasks(ListTasksRequest())).tasks
        with pytest.raises(Exception, match=r"401|key"):
            async with talking(url, binding) as nobody:
                await heard(nobody, request("x"))
    finally:
        await box.close()


def test_each_requirement_is_shown_or_cannot_arise(binding: str) -> None:
    """With the tests of the wire, which stand beside this file."""
    from tests.e2e.a2a import test_wire

    assert test_wire.__name__
    assert not SHOWN.keys() & NOT_HERE.keys()
    assert SHOWN.keys() | NOT_HERE.keys() == MUST
