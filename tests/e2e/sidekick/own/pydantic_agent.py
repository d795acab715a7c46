"""An agent of the operator's, with a model and a tool of its own."""

from pydantic_ai import Agent
from pydantic_ai.models.test import TestModel

agent = Agent(TestModel(custom_output_text="measured"))


@agent.tool_plain
def measure() -> str:
    """Of its own: the gateway sees nothing of it."""
    return "42"
