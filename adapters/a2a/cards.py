"""Cards: what is said of an agent to those who want to call it (A2A 1.0, section 4.4 "Agent Discovery")."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from a2a.types import (
    AgentCapabilities,
    AgentCard,
    AgentInterface,
    AgentProvider,
    AgentSkill,
    HTTPAuthSecurityScheme,
    SecurityRequirement,
    SecurityScheme,
    StringList,
)
from a2a.utils.signing import create_agent_card_signer
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jwt.algorithms import ECAlgorithm

from adapters.a2a import files, scores
from adapters.spi import Agent, Json, Keyring, Tool
from adapters.talk import talk

MODES = ["text/plain", "application/json"]
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of the curve P-256."""


class Signer:
    """Signs cards by ES256, with a key of the keyring; `keys` is its public half as a JWK set."""

    def __init__(self, keyring: Keyring, base_url: str) -> None:
        secret = int.from_bytes(keyring.seed("a2a", "cards"), "big") % (ORDER - 1) + 1
        key = ec.derive_private_key(secret, ec.SECP256R1())
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        public: dict[str, Any] = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
        self.kid = f"{public['x'][:16]}"
        self.keys: Json = {"keys": [{**public, "kid": self.kid, "alg": "ES256", "use": "sig"}]}
        jku = f"{base_url}/a2a/keys"
        self.sign = create_agent_card_signer(pem, {"kid": self.kid, "alg": "ES256", "jku": jku, "typ": "JOSE"})


def skill_id(tool: Tool) -> str:
    """The part of the public name after the agent's."""
    return tool.name.partition("__")[2] or tool.name


def skill(tool: Tool, network: str) -> AgentSkill:
    name = tool.title or skill_id(tool)
    return AgentSkill(
        id=skill_id(tool), name=name, description=tool.description or name, tags=[network, tool.agent],
        input_modes=[*MODES, *files.modes(tool)], output_modes=MODES,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """Where this gateway shows its agents; `grpc`: blank where it speaks none; `old_clients`: with faces of 0.3."""

    base_url: str
    grpc: str = ""
    old_clients: bool = True


def card(
    agent: Agent, place: Place, tools: Sequence[Tool] | None = None, score: Mapping[str, Json] | None = None
) -> AgentCard:
    """The agent's card, not signed yet; with `tools`, only those are skills. `score`: what a benchmark said of it."""
    base_url, grpc = place.base_url, place.grpc
    home = f"{base_url}/a2a/{agent.slug}"
    faces = [("JSONRPC", home), ("HTTP+JSON", f"{home}/rest")]
    versions = ("1.0", "0.3") if place.old_clients else ("1.0",)
    interfaces = [
        AgentInterface(url=url, protocol_binding=binding, protocol_version=version)
        for version in versions
        for binding, url in faces
    ]
    if grpc:
        interfaces.insert(
            2, AgentInterface(url=grpc, protocol_binding="GRPC", protocol_version="1.0", tenant=agent.slug)
        )
    shown = agent.tools if tools is None else tools
    more = [scores.extension(score)] if score is not None else []
    able = AgentCapabilities(streaming=True, push_notifications=True, extended_agent_card=True, extensions=more)
    return AgentCard(
        name=agent.name, description=agent.description or agent.name, version="1.0.0",
        provider=AgentProvider(organization="Doolittle", url=base_url), supported_interfaces=interfaces,
        capabilities=able, default_input_modes=MODES, default_output_modes=MODES,
        skills=[skill(tool, agent.address.network) for tool in _talking_first(agent, shown)],
        security_schemes={"key": SecurityScheme(http_auth_security_scheme=HTTPAuthSecurityScheme(scheme="Bearer"))},
        security_requirements=[SecurityRequirement(schemes={"key": StringList()}), SecurityRequirement()],
    )  # fmt: skip


def _talking_first(agent: Agent, tools: Sequence[Tool]) -> list[Tool]:
    found = talk(agent)
    return sorted(tools, key=lambda tool: found is None or tool.name != found.tool.name)


def gateway(agents: Sequence[Agent], base_url: str) -> AgentCard:
    """The gateway's own card: each agent is a skill, whose first example is the address of the agent's card."""
    skills = [
        AgentSkill(
            id=agent.slug, name=agent.name, description=agent.description or agent.name, tags=[agent.address.network],
            examples=[f"{base_url}/a2a/{agent.slug}/.well-known/agent-card.json"],
        )
        for agent in agents
    ]  # fmt: skip
    about = (
        "A gateway between networks of agents. Each skill is an agent, with a card of its own at the place it names."
    )
    face = AgentInterface(url=f"{base_url}/a2a", protocol_binding="JSONRPC", protocol_version="1.0")
    return AgentCard(
        name="Doolittle", description=about, version="1.0.0",
        provider=AgentProvider(organization="Doolittle", url=base_url),
        supported_interfaces=[face],
        capabilities=AgentCapabilities(streaming=True, push_notifications=True),
        default_input_modes=MODES, default_output_modes=MODES, skills=skills,
    )  # fmt: skip
