"""Agents of the stand-in that do as they are told."""

import asyncio
from collections import Counter

from tests.e2e.coral.rules import Message, SessionAgent


class Mirror:
    """Says what it hears; `!` begins an order. `seen` counts the threads by name."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.working = 0

    async def __call__(self, agent: SessionAgent) -> None:
        agent.connect()
        since, heard = 0, [""]
        while True:
            message = await agent.mention(since)
            if message is None:
                continue
            since = message.at // 10**6 + 1
            self.seen[agent.session.threads[message.thread].name] += 1
            self.working += 1
            try:
                await self._answer(agent, message, heard)
            finally:
                self.working -= 1

    async def _answer(self, agent: SessionAgent, message: Message, heard: list[str]) -> None:
        order, _, rest = message.text.partition(" ")
        back = [message.sender]
        match order:
            case "!count":
                for number in range(1, int(rest) + 1):
                    agent.send(message.thread, f"counting {number}", [])
                agent.send(message.thread, f"counted to {rest}", back)
            case "!hang":
                await asyncio.Event().wait()
            case "!talk":
                heard[0] = f"{heard[0]} {rest}".strip()
                agent.send(message.thread, heard[0], back)
            case "!big":
                agent.send(message.thread, "x" * int(rest), back)
            case "!close":
                agent.close_thread(message.thread, "I do not talk about that.")
            case "!leave":
                raise asyncio.CancelledError
            case "!tell":
                agent.send(message.thread, rest, [])
                await asyncio.Event().wait()
            case _:
                agent.send(message.thread, message.text, back)


async def deaf(agent: SessionAgent) -> None:
    """Joins, and never waits for anything."""
    agent.connect()
    await asyncio.Event().wait()


async def absent(agent: SessionAgent) -> None:
    """Never joins."""
    await asyncio.Event().wait()


async def planner(agent: SessionAgent) -> None:
    """Hands its work to everybody else in the session's group, and answers with what they said."""
    agent.connect()
    since = 0
    while True:
        order = await agent.mention(since)
        if order is None or not order.sender.startswith("caller-"):
            since = since if order is None else order.at // 10**6 + 1
            continue
        others = sorted(agent.session.threads[order.thread].participants - {agent.name, order.sender})
        since = agent.send(order.thread, order.text, others).at // 10**6
        said: dict[str, str] = {}
        while len(said) < len(others):
            awaited = frozenset(others) - said.keys()
            answer = await agent.wait(lambda m, of=awaited: m.sender in of, since)
            if answer is not None:
                said[answer.sender] = answer.text
        agent.send(order.thread, " and ".join(said[name] for name in others), [order.sender])
