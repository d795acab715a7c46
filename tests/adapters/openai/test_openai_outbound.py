"""OpenAI-compatible servers pass the suite."""

from adapters.conformance import suite
from adapters.openai.far_testing import OpenAiFarSide

TestOpenAi = suite("openai", OpenAiFarSide)
