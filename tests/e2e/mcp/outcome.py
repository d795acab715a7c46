"""What a client sees of a server, in a form that can be compared: calls, lists, documents, errors."""

import base64
import binascii
import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import mcp_types as t
from mcp.shared.exceptions import MCPError

from tests.e2e.mcp.eyes import Eyes

Outcome: TypeAlias = dict[str, Any]
TIMES = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*Z?"
    r"|[A-Z][a-z]{2} [A-Z][a-z]{2} \d\d \d{4} \d\d:\d\d:\d\d GMT\S* \([^)]*\)"
    r"|(\d{1,2}/\d{1,2}/\d{4}, )?\d{1,2}:\d\d:\d\d(\s[AP]M)?"
)
IDS = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
VERBS = ("get_call", "cancel_call")
"""The gateway's own tools, which no server has."""
NOT_KNOWN = -32601
OURS = ("doolittle/", "io.modelcontextprotocol/")
LISTED = ("title", "description", "inputSchema", "outputSchema", "annotations", "icons")
SHOWN, LINES = 200, 12
"""How much of one difference is shown."""
SAMPLES: dict[str, Any] = {"string": "a text", "integer": 3, "number": 2.5, "boolean": True}


@dataclass(frozen=True, slots=True)
class Trial:
    """One call. `{root}` in the arguments is the server's own folder; `keep`: only what matches is compared."""

    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    keep: str = ""

    def filled(self, root: str) -> dict[str, Any]:
        return dict(json.loads(json.dumps(dict(self.arguments)).replace("{root}", root)))


# -- the client's side of questions --------------------------------------------------------------------------------


async def elicit(context: Any, params: Any) -> t.ElicitResult:
    """Fills a form in, with its defaults where it has any; agrees to open a URL."""
    if isinstance(params, t.ElicitRequestURLParams):
        return t.ElicitResult(action="accept")
    content: dict[str, Any] = {}
    for name, schema in params.requested_schema["properties"].items():
        content[name] = schema.get("default", _sample(schema))
    return t.ElicitResult(action="accept", content=content)


def _sample(schema: Mapping[str, Any]) -> Any:
    if schema.get("type") == "array":
        return [_sample(schema["items"])]
    choices = schema.get("enum") or [one["const"] for one in schema.get("oneOf") or schema.get("anyOf") or ()]
    if choices:
        return choices[0]
    by_format = {"email": "ada@example.org", "uri": "https://example.org/", "date": "2026-01-02"}
    return by_format.get(str(schema.get("format")), SAMPLES[schema.get("type", "string")])


async def sample(context: Any, params: t.CreateMessageRequestParams) -> t.CreateMessageResult:
    """A model that repeats the last message."""
    said: Any = params.messages[-1].content
    text = f"heard: {getattr(said, 'text', said)}"
    return t.CreateMessageResult(role="assistant", content=t.TextContent(type="text", text=text), model="parrot")


# -- what was seen -------------------------------------------------------------------------------------------------


def clean(found: Any, root: str) -> Any:
    """Without what is different each time: the folder, times, ids; `_meta` without ours and the protocol's."""
    if isinstance(found, str):
        return IDS.sub("ID", TIMES.sub("TIME", found.replace(root, "ROOT") if root else found))
    if isinstance(found, list):
        return [clean(one, root) for one in found]
    if not isinstance(found, dict):
        return found
    made: dict[str, Any] = {}
    for key, value in found.items():
        if key == "_meta":
            foreign = {k: v for k, v in value.items() if not k.startswith(OURS)}
            made |= {"_meta": clean(foreign, root)} if foreign else {}
        else:
            made[key] = clean(_decoded(value) if key == "blob" and isinstance(value, str) else value, root)
    return made


def _decoded(blob: str) -> str:
    try:
        return "decoded: " + base64.b64decode(blob).decode()
    except (binascii.Error, UnicodeDecodeError):
        return blob


def canonical(found: Any) -> str:
    return json.dumps(found, sort_keys=True, ensure_ascii=False, indent=1)


async def called(eyes: Eyes, name: str, trial: Trial, root: str = "") -> Outcome:
    """The outcome of a call, or its JSON-RPC error."""
    try:
        result = await eyes("callTool", {"name": name, "arguments": trial.filled(root)})
    except MCPError as fault:
        return {"error": {"code": fault.code, "message": clean(fault.message.replace(name, trial.tool), root)}}
    seen = {key: result[key] for key in ("content", "structuredContent", "_meta") if key in result}
    if trial.keep:
        text = json.dumps(seen["content"])
        return {"kept": re.findall(trial.keep, text), "isError": result.get("isError", False)}
    return {**clean(seen, root), "isError": result.get("isError", False)}


async def tried(eyes: Eyes, method: str, params: dict[str, Any], root: str = "") -> Outcome:
    """The outcome of any other request."""
    try:
        result = clean(await eyes(method, params), root)
    except MCPError as fault:
        return {"error": {"code": fault.code, "message": clean(fault.message, root)}}
    return {key: value for key, value in result.items() if key not in ("ttlMs", "cacheScope", "resultType")}


async def all_of(eyes: Eyes, method: str, key: str, root: str) -> Outcome:
    """A list; a server that does not know the method has none of them."""
    found = await tried(eyes, method, {}, root)
    return {key: []} if found.get("error", {}).get("code") == NOT_KNOWN else found


async def listed(eyes: Eyes, natives: Mapping[str, str], root: str = "") -> Outcome:
    """The tools by their native names, all pages, with what a model reads of them."""
    found: Outcome = {}
    params: dict[str, Any] = {}
    while True:
        page = await eyes("listTools", params)
        for tool in (one for one in page["tools"] if one["name"] not in VERBS):
            whole = clean(tool, root)
            found[natives.get(tool["name"], tool["name"])] = {k: whole[k] for k in (*LISTED, "_meta") if k in whole}
        if not page.get("nextCursor"):
            return found
        params = {"cursor": page["nextCursor"]}


async def calls(eyes: Eyes, trials: Sequence[Trial], natives: Mapping[str, str], root: str) -> dict[str, Outcome]:
    """Each trial in turn; numbered, since a tool may be tried more than once."""
    public = {native: name for name, native in natives.items()}
    found: dict[str, Outcome] = {}
    for number, trial in enumerate(trials):
        name = public.get(trial.tool, trial.tool)
        found[f"{number} {trial.tool}"] = await called(eyes, name, trial, root)
    return found


async def documents(eyes: Eyes, arguments: Mapping[str, str], uris: Sequence[str], root: str) -> dict[str, Outcome]:
    """Resources, templates and prompts: the lists, each of them read, and those named; completions of arguments."""
    found = {
        "resources": await all_of(eyes, "listResources", "resources", root),
        "templates": await all_of(eyes, "listResourceTemplates", "resourceTemplates", root),
        "prompts": await all_of(eyes, "listPrompts", "prompts", root),
    }
    for uri in [*(r["uri"] for r in found["resources"].get("resources", ())), *uris]:
        found[f"read {uri}"] = await tried(eyes, "readResource", {"uri": uri}, root)
    prompts: list[dict[str, Any]] = [*found["prompts"].get("prompts", ()), {"name": "no-such-prompt"}]
    for prompt in prompts:
        name: str = prompt["name"]
        wanted: list[dict[str, str]] = prompt.get("arguments", [])
        given = {a["name"]: arguments.get(a["name"], "a") for a in wanted}
        found[f"prompt {name}"] = await tried(eyes, "getPrompt", {"name": name, "arguments": given}, root)
        for argument in given:
            params = {"ref": {"type": "ref/prompt", "name": name}, "argument": {"name": argument, "value": ""}}
            found[f"complete {name} {argument}"] = await tried(eyes, "complete", params, root)
    return found


def differences(direct: Mapping[str, Outcome], other: Mapping[str, Outcome]) -> list[str]:
    """What is not the same: for each outcome its lines that are only direct (-) or only by the gateway (+)."""
    found: list[str] = []
    for key in sorted({*direct, *other}):
        if key not in direct or key not in other:
            found.append(f"{key}: only {'direct' if key in direct else 'through the gateway'}")
            continue
        one, two = canonical(direct[key]), canonical(other[key])
        if one != two:
            lines = [*difflib.unified_diff(one.splitlines(), two.splitlines(), n=0, lineterm="")][2:]
            changed = [line[:SHOWN] for line in lines if not line.startswith("@@")]
            found.append("\n    ".join([key, *changed[:LINES], *(["…"] if len(changed) > LINES else [])]))
    return found
