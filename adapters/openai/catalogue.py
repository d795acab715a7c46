"""What a server has, as an agent with tools; and what its routes answer, as results. Pure.

GaiaNet: docs.gaianet.ai, "GaiaNet node API reference"; github.com/GaiaNet-AI/gaianet-node.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson

from adapters.errors import Broken, Refused
from adapters.openai.translate import RAW
from adapters.spi import Address, Agent, Content, Json, Result, Text, Tool
from registry.model import schema

GAIA = (".gaia.domains", ".gaianet.network", ".gaianet.xyz")
EMBEDDERS = ("embed", "bge-", "gte-", "e5-", "minilm")
"""Of a model whose kind nobody says, these words in its name do."""
TEXTS: Json = {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1, "maxItems": 2048}
CONVERSATION: Json = {
    "type": "string", "minLength": 1, "maxLength": 256,
    "description": "A name of your choice, to be remembered by. Without one, it starts afresh.",
}  # fmt: skip
VECTORS = schema({
    "type": "object",
    "properties": {
        "model": {"type": "string"},
        "embeddings": {"type": "array", "items": {"type": "array", "items": {"type": "number"}}},
    },
    "required": ["model", "embeddings"],
})  # fmt: skip
POINTS = schema({
    "type": "object",
    "properties": {
        "points": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"source": {"type": "string"}, "score": {"type": "number"}},
                "required": ["source", "score"],
            },
        },
    },
    "required": ["points"],
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Node:
    """Names of models by what they do, the first of each the usual one; and what the node says of itself."""

    chat: tuple[str, ...]
    embedding: tuple[str, ...]
    about: str = ""

    @property
    def model(self) -> str:
        return self.chat[0] if self.chat else ""

    @property
    def embedder(self) -> str:
        return self.embedding[0] if self.embedding else ""


def place(url: str, profile: str) -> tuple[str, bool]:
    """The base of its routes, and whether it is a GaiaNet node. A domain alone is enough, and for a node its id
    ("0x…"). ("", False) for what is no address."""
    if url.startswith("0x") and "." not in url:
        url = f"{url}.gaia.domains"
    if "://" not in url:
        url = f"https://{url}"
    try:
        found = urlsplit(url)
        host = found.hostname or ""
    except ValueError:
        return "", False
    if found.scheme not in ("http", "https") or not host:
        return "", False
    gaia = profile == "gaianet" or (not profile and host.endswith(GAIA))
    path = found.path.rstrip("/") or "/v1"
    return f"{found.scheme}://{found.netloc}{path}", gaia


def node(models: Mapping[str, Json], info: Mapping[str, Json], wanted: str) -> Node:
    """From `/v1/models` and, if there is one, `/v1/info`: that tells kinds. `wanted` is the usual model."""
    kinds = _kinds(info)
    listed: Any = models.get("data") or models.get("models") or []
    named = [str(one.get("id") or one.get("name") or "") for one in listed if isinstance(one, dict)]
    names = [name for name in dict.fromkeys([*named, *kinds]) if name]
    embedding = [name for name in names if kinds.get(name, _guessed(name)) == "embedding"]
    chat = [name for name in names if name not in embedding]
    if wanted in chat:
        chat = [wanted, *(name for name in chat if name != wanted)]
    about = info.get("node_version") or info.get("version")
    told = f"GaiaNet node {about}" if isinstance(about, str | int | float) else ""
    return Node(tuple(chat), tuple(embedding), told)


def _kinds(info: Mapping[str, Json]) -> dict[str, str]:
    listed = info.get("models")
    models = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    found = {str(one.get("name") or ""): str(one.get("type") or "") for one in models}
    for key, kind in (("chat_model", "chat"), ("embedding_model", "embedding")):
        one = info.get(key)
        if isinstance(one, dict) and isinstance(one.get("name"), str):
            found[one["name"]] = kind
    return {name: "embedding" if kind.startswith("embed") else "chat" for name, kind in found.items() if name}


def _guessed(name: str) -> str:
    return "embedding" if any(word in name.lower() for word in EMBEDDERS) else "chat"


def agent(name: str, of: Node, *, gaia: bool) -> Agent:
    """The server as an agent, with the tools that it can serve."""
    about = "; ".join(text for text in (of.about, f"models: {', '.join(of.chat[:20])}" if of.chat else "") if text)
    tools: list[Tool] = []
    if of.chat:
        tools.append(
            Tool("ask", f"Say something to {name}, and get the answer. {about}", _ask(of), title=f"Ask {name}")
        )
    if of.embedding:
        said = {"texts": TEXTS, "model": {"enum": list(of.embedding)}}
        tools.append(Tool("embed", f"Vectors for texts, by {of.embedder}.", _object(said, "texts"), VECTORS))
    if gaia and of.chat:
        query = {"query": {"type": "string", "minLength": 1}}
        described = "Passages of the node's knowledge base that fit a question, best first."
        tools.append(Tool("retrieve", described, _object(query, "query"), POINTS))
    return Agent(Address("", "", name), name, about, tuple(tools))


def _ask(of: Node) -> bytes:
    properties: dict[str, Json] = {
        "message": {"type": "string", "minLength": 1, "description": "What you say."},
        "system": {"type": "string", "description": "What the model must know and obey, for this message."},
        "conversation": CONVERSATION,
        "temperature": {"type": "number", "minimum": 0, "maximum": 2},
        "max_tokens": {"type": "integer", "minimum": 1},
    }
    if len(of.chat) > 1:
        properties["model"] = {"enum": list(of.chat), "default": of.model}
    return _object(properties, "message")


def _object(properties: Mapping[str, Json], required: str) -> bytes:
    return schema(
        {"type": "object", "properties": dict(properties), "required": [required], "additionalProperties": False}
    )


# ---- results ------------------------------------------------------------------------------------------------------


def answered(whole: dict[str, Json], name: str) -> Result:
    """The result of a `chat.completion`, which goes along as it is. Raises `Broken` and `Refused`."""
    first: dict[str, Any] = whole["choices"][0]
    message: dict[str, Any] = first["message"]
    text = message.get("content")
    calls = message.get("tool_calls")
    if first.get("finish_reason") == "content_filter" and not text:
        raise Refused(f"'{name}' filtered its answer out")
    if not isinstance(text, str) and not calls:
        raise Broken(f"'{name}' answered without words")
    meta = {"model": whole.get("model"), "finish_reason": first.get("finish_reason"), "usage": whole.get("usage")}
    content: tuple[Content, ...] = (Text(text),) if isinstance(text, str) else ()
    return Result(content, raw=orjson.dumps(whole), raw_format=RAW, meta={k: v for k, v in meta.items() if v})


def embedded(found: Mapping[str, Json], model: str, count: int, name: str) -> Result:
    """Raises `Broken` where there are not as many vectors as texts."""
    data: Any = found.get("data")
    rows: list[dict[str, Any]] = [one for one in data if isinstance(one, dict)] if isinstance(data, list) else []
    rows.sort(key=_index)
    vectors: list[Any] = [row.get("embedding") for row in rows]
    if len(vectors) != count or not all(isinstance(vector, list) for vector in vectors):
        raise Broken(f"'{name}' gave {len(vectors)} vectors for {count} texts")
    said = f"{count} vectors of {len(vectors[0])} numbers"
    return Result((Text(said),), {"model": model, "embeddings": vectors})


def retrieved(found: Mapping[str, Json], name: str) -> Result:
    """The passages of `/v1/retrieve`, in either of its shapes (one object, or a list of them)."""
    held: Any = found.get("points")
    if not isinstance(held, list):
        raise Broken(f"'{name}' retrieved nothing that has 'points'")
    points = [
        {"source": str(one["source"]), "score": float(one["score"])}
        for one in held
        if isinstance(one, dict) and "source" in one and isinstance(one.get("score"), int | float)
    ]
    text = "\n\n".join(str(point["source"]) for point in points) or "the knowledge base has nothing that fits"
    return Result((Text(text),), {"points": points})


def _index(row: Mapping[str, Any]) -> int:
    index = row.get("index")
    return index if isinstance(index, int) else 0
