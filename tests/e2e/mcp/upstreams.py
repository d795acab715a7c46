"""The servers that stand upstream in tests: how each is started, and a trial for every tool that it has."""

import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from adapters.spi import Upstream
from examples.tour.eliza import NODE
from tests.e2e.mcp.child import EVERYTHING, child, environment, everything, line_with
from tests.e2e.mcp.everything.tools import LONG
from tests.e2e.mcp.outcome import Trial

HERE = Path(__file__).parent
PACKAGES = HERE / "node_modules" / "@modelcontextprotocol"
MARK = "tea at five"
"""The value of MARK in the environment of child processes."""


def nothing(_folder: Path) -> None:
    """Needs no preparation."""


@dataclass(frozen=True, slots=True)
class Far:
    """A server: as a command in a folder of its own, or, where `http` says how, at a URL."""

    name: str
    words: tuple[str, ...]
    trials: tuple[Trial, ...]
    http: str = ""
    prepare: Callable[[Path], None] = nothing
    arguments: dict[str, str] = field(default_factory=dict[str, str])
    uris: tuple[str, ...] = ()

    @asynccontextmanager
    async def started(self, folder: Path) -> AsyncIterator[Upstream]:
        """One of its own in that folder, as the upstream that it would be."""
        folder.mkdir()
        self.prepare(folder)
        if not self.http:
            command = tuple(word.replace("{root}", str(folder)) for word in self.words)
            env = {**environment(), "MARK": MARK, "MEMORY_FILE_PATH": str(folder / "memory.json")}
            yield Upstream(self.name, "mcp", command=command, options={"env": env, "cwd": str(folder)})
        elif self.http == "own":
            async with everything(page=7) as url:
                yield Upstream(self.name, "mcp", url=url)
        else:
            async with listening(self.words, folder) as url:
                yield Upstream(self.name, "mcp", url=url)


@asynccontextmanager
async def listening(words: tuple[str, ...], folder: Path) -> AsyncIterator[str]:
    """A server that takes its port from the environment."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    async with child(words, cwd=folder, PORT=str(port), MARK=MARK) as process:
        await line_with(process, "listening")
        yield f"http://127.0.0.1:{port}/mcp"


def trial(tool: str, **arguments: object) -> Trial:
    return Trial(tool, arguments)


def server(package: str, *words: str) -> tuple[str, ...]:
    return (str(NODE), str(PACKAGES / package / "dist" / "index.js"), *words)


# ---- the reference server of the TypeScript SDK --------------------------------------------------------------------

TEXT_URI = "data:text/plain;base64,aGVsbG8="
REFERENCE = (
    trial("echo", message="hello"),
    trial("echo", message="Ünïcode \U0001f375 \u2028 and \x00 nul"),
    trial("get-annotated-message", messageType="error", includeImage=True),
    trial("get-annotated-message", messageType="debug"),
    Trial("get-env", {}, keep=MARK),
    trial("get-resource-links", count=4),
    trial("get-resource-reference", resourceType="Text", resourceId=2),
    trial("get-resource-reference", resourceType="Blob", resourceId=3),
    trial("get-structured-content", location="Chicago"),
    trial("get-sum", a=0.1, b=0.2),
    trial("get-tiny-image"),
    trial("gzip-file-as-resource", name="a.gz", data=TEXT_URI, outputType="resource"),
    trial("gzip-file-as-resource", name="b.gz", data=TEXT_URI, outputType="resourceLink"),
    trial("toggle-simulated-logging"),
    trial("toggle-simulated-logging"),
    trial("toggle-subscriber-updates"),
    trial("toggle-subscriber-updates"),
    trial("trigger-long-running-operation", duration=0.1, steps=2),
    trial("trigger-elicitation-request"),
    trial("trigger-url-elicitation", url="https://example.org/tea", message="Please look", elicitationId="one"),
    trial("trigger-sampling-request", prompt="Tea?", maxTokens=20),
    trial("simulate-research-query", topic="tea"),
)
NAMES = {"city": "London", "department": "Sales", "resourceType": "Text", "resourceId": "1"}
URIS = ("demo://resource/dynamic/text/1", "demo://resource/dynamic/blob/2", "demo://resource/nowhere")

# ---- files and memory --------------------------------------------------------------------------------------------

FILES = (
    trial("list_allowed_directories"),
    trial("write_file", path="{root}/new.txt", content="one\ntwo\nthree\n"),
    trial("read_file", path="{root}/new.txt"),
    trial("read_text_file", path="{root}/new.txt", tail=1),
    trial("read_text_file", path="{root}/absent.txt"),
    trial("read_text_file", path="/etc/hostname"),
    trial("read_media_file", path="{root}/dot.png"),
    trial("read_multiple_files", paths=["{root}/new.txt", "{root}/tea.txt", "{root}/absent.txt"]),
    trial("edit_file", path="{root}/new.txt", edits=[{"oldText": "two", "newText": "zwei"}], dryRun=True),
    trial("edit_file", path="{root}/new.txt", edits=[{"oldText": "two", "newText": "zwei"}]),
    trial("create_directory", path="{root}/deep/down"),
    trial("move_file", source="{root}/new.txt", destination="{root}/deep/moved.txt"),
    trial("list_directory", path="{root}"),
    trial("list_directory_with_sizes", path="{root}", sortBy="size"),
    trial("directory_tree", path="{root}"),
    trial("search_files", path="{root}", pattern="**/*.txt"),
    trial("get_file_info", path="{root}/tea.txt"),
)
DOT = bytes.fromhex("89504e470d0a1a0a0000000d49484452")


def some_files(folder: Path) -> None:
    (folder / "tea.txt").write_text("Tea is at five.\n")
    (folder / "dot.png").write_bytes(DOT)


ADA = {"name": "Ada", "entityType": "person", "observations": ["counts"]}
BABBAGE = {"name": "Babbage", "entityType": "person", "observations": ["builds", "argues"]}
KNOWS = {"from": "Ada", "to": "Babbage", "relationType": "knows"}
MEMORY = (
    trial("read_graph"),
    trial("create_entities", entities=[ADA, BABBAGE]),
    trial("create_relations", relations=[KNOWS]),
    trial("add_observations", observations=[{"entityName": "Ada", "contents": ["writes"]}]),
    trial("add_observations", observations=[{"entityName": "Nobody", "contents": ["writes"]}]),
    trial("search_nodes", query="build"),
    trial("open_nodes", names=["Ada"]),
    trial("delete_observations", deletions=[{"entityName": "Babbage", "observations": ["argues"]}]),
    trial("delete_relations", relations=[KNOWS]),
    trial("delete_entities", entityNames=["Babbage"]),
    trial("read_graph"),
)

# ---- our own server ----------------------------------------------------------------------------------------------

ALONE = (
    "test_simple_text", "test_image_content", "test_audio_content", "test_embedded_resource",
    "test_multiple_content_types", "test_error_handling", "test_tool_with_logging", "test_logging_tool",
    "test_tool_with_progress", "test_reconnection", "structured_error", "foreign_meta", "link", "nothing",
    "protocol_error", LONG, "touch", "test_elicitation_sep1034_defaults", "test_elicitation_sep1330_enums",
    "test_missing_capability", "test_streaming_elicitation", "test_input_required_result_elicitation",
    "test_input_required_result_sampling", "test_input_required_result_list_roots",
    "test_input_required_result_request_state", "test_input_required_result_tampered_state",
    "test_input_required_result_multiple_inputs", "test_input_required_result_multi_round",
    "test_input_required_result_capabilities",
)  # fmt: skip
OWN = (
    *(trial(name) for name in ALONE),
    trial("json_schema_2020_12_tool", name="Ada", contactMethod="phone", phone="1"),
    trial("test_x_mcp_header", region="Łódź ", amount=3, note="x"),
    trial("structured", city="Oslo"),
    trial("Shout.LOUD", words="tea"),
    trial("header", name="x-tea"),
    trial("test_sampling", prompt="Tea?"),
    trial("test_elicitation", message="Who are you?"),
    trial("release", key="at once"),
    trial("hold", key="at once"),
    trial("seen", key="at once"),
    trial("test_trigger_prompt_change"),
    trial("test_trigger_tool_change"),
)
OWN_NAMES = {"arg1": "pa", "arg2": "x", "resourceUri": "test://example-resource"}
OWN_URIS = ("test://template/7/data", "test://nowhere")

FARS = (
    Far("reference", server("server-everything", "stdio"), REFERENCE, arguments=NAMES, uris=URIS),
    Far("reference-http", server("server-everything", "streamableHttp"), REFERENCE, "port", arguments=NAMES, uris=URIS),
    Far("files", server("server-filesystem", "{root}"), FILES, prepare=some_files),
    Far("memory", server("server-memory"), MEMORY),
    Far("own", (*EVERYTHING, "stdio", "7"), OWN, arguments=OWN_NAMES, uris=OWN_URIS),
    Far("own-http", (sys.executable,), OWN, "own", arguments=OWN_NAMES, uris=OWN_URIS),
)
