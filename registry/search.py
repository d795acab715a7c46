"""Find tools by words: full text in a private in-memory database for each snapshot (SQLite FTS5, for any store)."""

import asyncio
import re
import sqlite3
import weakref

from registry.snapshot import Snapshot

STOP = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "by",
        "do",
        "for",
        "from",
        "how",
        "i",
        "in",
        "is",
        "it",
        "me",
        "my",
        "of",
        "on",
        "or",
        "that",
        "the",
        "this",
        "to",
        "what",
        "who",
        "will",
        "with",
    ]
)
WEIGHTS = "bm25(found, 5.0, 3.0, 1.0, 1.0)"
WORDS = 32
_indexes: "weakref.WeakKeyDictionary[Snapshot, asyncio.Task[sqlite3.Connection]]" = weakref.WeakKeyDictionary()


async def search(snapshot: Snapshot, query: str, limit: int) -> list[str]:
    """Names of the tools that fit the words, best first. No words, no tools."""
    words = [word for word in re.findall(r"\w+", query.lower())[:WORDS] if word not in STOP]
    if not words:
        return []
    task = _indexes.get(snapshot)
    if task is None:
        rows = [_row(snapshot, index) for index in range(len(snapshot.tools))]
        task = _indexes[snapshot] = asyncio.create_task(asyncio.to_thread(_build, rows))
        weakref.finalize(snapshot, _free, task).atexit = False
    index = await asyncio.shield(task)
    match = " OR ".join(f'"{word}"' for word in words)
    query_text = f"select rowid from found where found match ? order by {WEIGHTS}, rowid limit ?"  # noqa: S608 - constants
    return [snapshot.tools[row[0]].name for row in index.execute(query_text, (match, limit))]


def _row(snapshot: Snapshot, index: int) -> tuple[int, str, str, str, str]:
    tool = snapshot.tools[index]
    agent = snapshot.agents[tool.agent]
    name = re.sub(r"[_-]+", " ", tool.name)
    return index, name, f"{tool.title} {agent.name}", tool.description, agent.description


def _build(rows: list[tuple[int, str, str, str, str]]) -> sqlite3.Connection:
    index = sqlite3.connect(":memory:", check_same_thread=False)
    index.execute("create virtual table found using fts5(name, title, said, agent, tokenize='porter unicode61')")
    index.executemany("insert into found(rowid, name, title, said, agent) values (?, ?, ?, ?, ?)", rows)
    return index


def _free(task: "asyncio.Task[sqlite3.Connection]") -> None:
    """Its snapshot is gone. While it is still being built, somebody holds the snapshot."""
    if task.done() and not task.cancelled() and task.exception() is None:
        task.result().close()
