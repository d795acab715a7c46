"""Who a character is: an ElizaOS character file, of any age, and the sentences that a model is told of it.

Only what makes the persona is read. `settings`, `secrets`, `plugins` and templates are not, so nothing of them can
reach a model, a log or another engine.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from adapters.errors import BadArguments

LARGEST = 2**20
"""Bytes of a character file."""
EXAMPLES = 5
"""Conversations that ElizaOS shows a model; of more it takes some by chance."""


@dataclass(frozen=True, slots=True)
class Persona:
    """All that makes a character; `examples` are conversations of lines (who, what)."""

    name: str
    username: str = ""
    system: str = ""
    bio: tuple[str, ...] = ()
    lore: tuple[str, ...] = ()
    knowledge: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    adjectives: tuple[str, ...] = ()
    style: tuple[str, ...] = ()
    chat: tuple[str, ...] = ()
    posts: tuple[str, ...] = ()
    examples: tuple[tuple[tuple[str, str], ...], ...] = ()

    @property
    def about(self) -> tuple[str, ...]:
        """Bio, and all that some engine has no field for."""
        topics = f"{self.name} is interested in {', '.join(self.topics)}." if self.topics else ""
        adjectives = f"{self.name} is {', '.join(self.adjectives)}." if self.adjectives else ""
        return tuple(filter(None, (*self.bio, *self.lore, *self.knowledge, topics, adjectives)))

    @property
    def lines(self) -> tuple[str, ...]:
        """Those of the examples."""
        return tuple(f"{who}: {what}" for talk in self.examples for who, what in talk)

    @property
    def sentences(self) -> tuple[str, ...]:
        """The persona, piece by piece: each stands as it is in what any engine's model is told."""
        system = (self.system,) if self.system else ()
        return (*system, *self.about, *self.style, *self.chat, *self.posts, *self.lines)

    def told(self) -> str:
        """The persona as instructions for a model."""
        talks = ["\n".join(f"{who}: {what}" for who, what in talk) for talk in self.examples]
        parts = [
            self.system,
            _under(f"# About {self.name}", "\n".join(self.about)),
            _under(f"# Message Directions for {self.name}", "\n".join((*self.style, *self.chat))),
            _under(f"# Example Posts for {self.name}", "\n".join(self.posts)),
            _under(f"# Example Conversations for {self.name}", "\n\n".join(talks)),
        ]
        return "\n\n".join(part for part in parts if part)

    def for_python(self) -> dict[str, Any]:
        """For the Python runtime of ElizaOS (2.0.0a5), which fails at lists that it joins, and shows no `system`: all
        of it as bio."""
        return {"name": self.name, "bio": list(self.sentences), "system": self.system}

    def for_server(self) -> dict[str, Any]:
        """For `@elizaos/server` (core 1.7), which has no `lore`, takes ten of the bio and one adjective by chance, and
        shows posts to nobody who chats: one text as bio, which it can neither shuffle nor cut."""
        talks = [[{"name": who, "content": {"text": what}} for who, what in talk] for talk in self.examples]
        few = [[line for talk in talks[n::EXAMPLES] for line in talk] for n in range(min(EXAMPLES, len(talks)))]
        return {
            "name": self.name, "username": self.username or self.name.lower().replace(" ", "_"),
            "bio": ["\n".join((*self.about, *self.posts))], "system": self.system, "messageExamples": few,
            "style": {"all": list(self.style), "chat": list(self.chat), "post": []},
            "topics": [], "adjectives": [], "postExamples": [],
        }  # fmt: skip


def _under(heading: str, text: str) -> str:
    return f"{heading}\n{text}" if text else ""


def read(path: Path) -> Persona:
    """Raises `BadArguments` that says what is wrong with the file."""
    try:
        with path.open("rb") as file:
            body = file.read(LARGEST + 1)
        if len(body) > LARGEST:
            raise BadArguments(f"{path} is no character: it has more than {LARGEST >> 20} MB")
        said = orjson.loads(body)
    except OSError as fault:
        raise BadArguments(f"the character file {path} cannot be read: {fault.strerror}") from fault
    except orjson.JSONDecodeError as fault:
        raise BadArguments(f"{path} is no character: it is not JSON: {fault}") from fault
    try:
        return parse(said)
    except BadArguments as fault:
        raise BadArguments(f"{path} is no character: {fault.public}") from fault


def parse(said: Any) -> Persona:
    """The persona of a character's JSON. Raises `BadArguments`."""
    if not isinstance(said, Mapping) or not isinstance(said.get("name"), str) or not said["name"].strip():
        raise BadArguments("it has no 'name'")
    name = said["name"].strip()

    def texts(value: Any) -> tuple[str, ...]:
        return tuple(dict.fromkeys(filter(None, (_plain(one, name) for one in _list(value)))))

    style = said.get("style") if isinstance(said.get("style"), Mapping) else {}
    assert isinstance(style, Mapping)
    talks = _list(said.get("messageExamples") or said.get("message_examples"))
    return Persona(
        name, str(said.get("username") or ""), _plain(said.get("system"), name), texts(said.get("bio")),
        texts(said.get("lore")), texts(said.get("knowledge")), texts(said.get("topics")), texts(said.get("adjectives")),
        texts(style.get("all")), texts(style.get("chat")), texts(said.get("postExamples") or said.get("post_examples")),
        tuple(filter(None, (_talk(one, name) for one in talks))),
    )  # fmt: skip


def _list(value: Any) -> Sequence[Any]:
    if isinstance(value, str):
        return [value]
    return value if isinstance(value, list) else []


def _talk(said: Any, name: str) -> tuple[tuple[str, str], ...]:
    """One conversation: a list of lines, or, in files of ElizaOS 2, an object that holds one."""
    lines: list[tuple[str, str]] = []
    for line in _list(said.get("examples") if isinstance(said, Mapping) else said):
        if not isinstance(line, Mapping):
            continue
        content = line.get("content")
        what = _plain(content.get("text") if isinstance(content, Mapping) else content, name)
        if what:
            lines.append((_plain(line.get("name") or line.get("user"), name) or "Someone", what))
    return tuple(lines)


def _plain(value: Any, name: str) -> str:
    """One line, its placeholders filled in as they are on all engines."""
    text = " ".join(value.split()) if isinstance(value, str) else ""
    text = re.sub(r"\{\{\s*(agentName|char|name|character)\s*\}\}", name, text)
    return re.sub(r"\{\{\s*(user|name)\w*\s*\}\}", "Someone", text)
