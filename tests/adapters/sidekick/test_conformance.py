"""Sidekicks pass the suite, with real runners of the framework without a framework."""

from adapters.conformance import suite
from adapters.sidekick.testing import SidekickFarSide

TestSidekick = suite("sidekick", SidekickFarSide)
