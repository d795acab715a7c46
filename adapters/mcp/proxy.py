"""Resources, prompts and completion of the MCP servers behind a view, through the contract's `method`.

Where one server is behind the view, names and URIs are its own; where there are more, a prompt is `{agent}__{prompt}`
and a resource `doolittle://{agent}/{its own URI}`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from adapters.errors import BadArguments, GatewayError, Unknown
from adapters.mcp import translate
from adapters.mcp.dialogue import Dialogue, Fault, Peer, Raw, Reply
from adapters.mcp.near import Near
from adapters.mcp.rpc import INTERNAL, INVALID_PARAMS, Message
from adapters.spi import Agent, Json

LISTS: Mapping[str, tuple[str, str, str]] = {
    "prompts/list": ("prompts", "prompts", "name"),
    "resources/list": ("resources", "resources", "uri"),
    "resources/templates/list": ("resources", "resourceTemplates", "uriTemplate"),
}
"""For each list: the capability, the key of its members, and the member's name or URI."""
READS = frozenset({"prompts/get", "resources/read", "completion/complete"})
METHODS = frozenset({*LISTS, *READS})
SCHEME = "doolittle://"
TTL = 30_000


class Proxy:
    """Answers the methods of `METHODS`."""

    def __init__(self, dialogue: Dialogue) -> None:
        self._dialogue = dialogue

    async def answer(self, method: str, params: Message, meta: Message, peer: Peer) -> Reply:
        try:
            if method in LISTS:
                return await self._list(method, params, meta, peer)
            return await self._read(method, params, meta, peer)
        except GatewayError as fault:
            code = INVALID_PARAMS if isinstance(fault, Unknown | BadArguments) else INTERNAL
            return Fault({"code": code, "message": fault.public})

    # -- lists ----------------------------------------------------------------------------------------------------

    async def _list(self, method: str, params: Message, meta: Message, peer: Peer) -> Reply:
        """A page of one server's; its cursor says which server is next."""
        capability, key, name = LISTS[method]
        servers = behind(peer.near, capability)
        alone = len(behind(peer.near)) == 1
        at, cursor = _position(params.get("cursor"))
        servers = [agent for agent in servers if agent.slug >= at]
        for number, agent in enumerate(servers):
            given = {"cursor": cursor} if cursor and agent.slug == at else {}
            reply = await self._ask(agent, method, given, meta, peer)
            if not isinstance(reply, Raw):
                if alone:
                    return reply
                continue  # one server's fault must not hide the others
            found = orjson.loads(reply.body)
            members = found.get(key)
            if not alone:
                found[key] = [renamed(m, agent.slug, name) for m in (members if isinstance(members, list) else [])]
            following = found.pop("nextCursor", None)
            later = servers[number + 1 :]
            if isinstance(following, str):
                found["nextCursor"] = f"{agent.slug}\n{following}"
            elif later:
                found["nextCursor"] = f"{later[0].slug}\n"
            return Raw(orjson.dumps(_cached(found, peer.near)))
        return Raw(orjson.dumps(_cached({key: []}, peer.near)))

    async def _ask(self, agent: Agent, method: str, params: Message, meta: Message, peer: Peer) -> Reply:
        call = translate.call(agent.slug, params, meta, peer.near, method)
        return await self._dialogue.run(call, None, peer)

    # -- one of them ----------------------------------------------------------------------------------------------

    async def _read(self, method: str, params: Message, meta: Message, peer: Peer) -> Reply:
        near = peer.near
        state = params.get("requestState")
        if state is not None:
            name, answer = translate.answered(state, params.get("inputResponses"))
            call = replace(translate.call(name, {}, meta, near, method), answer=answer)
            return await self._dialogue.run(call, None, peer)
        given = {key: value for key, value in params.items() if key != "_meta"}
        agent, own = owner(method, given, near)
        reply = await self._ask(agent, method, own, meta, peer)
        if method != "resources/read" or not isinstance(reply, Raw):
            return reply
        found = orjson.loads(reply.body)
        if len(behind(near)) > 1:
            contents = found.get("contents")
            found["contents"] = [
                renamed(one, agent.slug, "uri") for one in (contents if isinstance(contents, list) else [])
            ]
        return Raw(orjson.dumps(_cached(found, near)))


def behind(near: Near, capability: str = "") -> Sequence[Agent]:
    """The MCP servers behind the view, sorted; those that have the capability."""
    return [
        agent
        for agent in sorted(near.look.agents(near.caller), key=lambda agent: agent.slug)
        if isinstance(said := agent.meta.get("mcp"), dict)
        and (not capability or isinstance(said.get("capabilities", {}).get(capability), dict))
    ]


def _position(cursor: Any) -> tuple[str, str]:
    if cursor is None:
        return "", ""
    slug, found, rest = cursor.partition("\n") if isinstance(cursor, str) else ("", "", "")
    if not found:
        raise BadArguments("this cursor was not made by this gateway")
    return slug, rest


def renamed(member: Json, slug: str, key: str) -> Json:
    if not isinstance(member, dict) or not isinstance(member.get(key), str):
        return member
    own = member[key]
    return {**member, key: f"{slug}__{own}" if key == "name" else f"{SCHEME}{slug}/{own}"}


def owner(method: str, params: Message, near: Near) -> tuple[Agent, Message]:
    """The server that a request is for, and the request in its own words. Raises `Unknown`, `BadArguments`."""
    servers = behind(near)
    if len(servers) == 1:
        return servers[0], params
    if method == "completion/complete":
        ref = params.get("ref")
        if not isinstance(ref, dict):
            raise BadArguments("'ref' is an object")
        key = "name" if ref.get("type") == "ref/prompt" else "uri"
        agent, own = _split(ref.get(key), key, servers)
        return agent, {**params, "ref": {**ref, key: own}}
    key = "name" if method == "prompts/get" else "uri"
    agent, own = _split(params.get(key), key, servers)
    return agent, {**params, key: own}


def _split(said: Any, key: str, servers: Sequence[Agent]) -> tuple[Agent, str]:
    text = said if isinstance(said, str) else ""
    if key == "name":
        slug, _, own = text.partition("__")
    else:
        slug, _, own = text.removeprefix(SCHEME).partition("/") if text.startswith(SCHEME) else ("", "", "")
    for agent in servers:
        if agent.slug == slug and own:
            return agent, own
    raise Unknown(f"there is no {'prompt' if key == 'name' else 'resource'} '{text[:200]}'")


def _cached(found: Message, near: Near) -> Message:
    """With what the modern era demands of lists and resources."""
    if near.modern:
        found.setdefault("ttlMs", TTL)
        found.setdefault("cacheScope", "private")
    else:
        found.pop("ttlMs", None)
        found.pop("cacheScope", None)
    return found
