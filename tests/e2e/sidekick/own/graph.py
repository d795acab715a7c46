"""A graph of the operator's: it asks for a name, and greets. Loaded by its path, or by langgraph.json."""

from typing import TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt


class State(TypedDict, total=False):
    messages: list[dict[str, str]]
    response: str
    benchmarkScore: float


def greet(state: State) -> State:
    name = interrupt("What is your name?")
    return {"response": f"Good day, {name}. You said: {state['messages'][-1]['content']}", "benchmarkScore": 0.5}


def make() -> StateGraph:
    built = StateGraph(State)
    built.add_node("greet", greet)
    built.add_edge(START, "greet")
    built.add_edge("greet", END)
    return built


graph = make().compile()
