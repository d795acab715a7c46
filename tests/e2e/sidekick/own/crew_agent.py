"""A crew of the operator's, made when it is asked for; its model is the run's where the environment names it."""

import os

from crewai import LLM, Agent, Crew, Task


def make() -> Crew:
    llm = LLM(model="openai/scripted", base_url=os.environ["OWN_MODEL"], api_key="own")
    agent = Agent(role="clerk", goal="answer", backstory="careful", llm=llm)
    return Crew(agents=[agent], tasks=[Task(description="say good day", expected_output="words", agent=agent)])
