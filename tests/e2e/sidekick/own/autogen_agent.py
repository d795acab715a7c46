"""An agent of the operator's that answers without a model."""

from autogen_agentchat.agents import AssistantAgent
from autogen_ext.models.replay import ReplayChatCompletionClient


def make() -> AssistantAgent:
    return AssistantAgent("parrot", ReplayChatCompletionClient(["By George!"]))
