"""Which agents of which frameworks are tested here: chosen once, before the tests are collected."""

import os
from dataclasses import dataclass

from adapters.sidekick.frameworks import Framework, known
from adapters.venvs import Venvs
from tests.conftest import ROOT

VENVS = ROOT / ".doolittle" / "sidekick"
"""Environments that all runs of the tests share: they are made once."""
LARGE = 500
"""Megabytes from which an environment is not made for the tests alone."""


@dataclass(frozen=True, slots=True)
class One:
    """An agent that a framework offers."""

    name: str
    framework: Framework
    keeps: bool


def chosen() -> list[Framework]:
    """All frameworks; the large ones where they are installed, or with CI_FULL=1."""
    venvs = Venvs(VENVS)
    full = os.environ.get("CI_FULL") == "1"
    return [one for one in known().values() if one.megabytes < LARGE or full or venvs.of(one).ready]


def left_out() -> str:
    """A line for the run's header; blank where nothing is left out."""
    names = [one for one in known().values() if one not in chosen()]
    said = ", ".join(f"{one.title} ({one.megabytes} MB)" for one in names)
    return f"left out: {said}; CI_FULL=1 installs and tests it" if names else ""


FRAMEWORKS = chosen()
AGENTS = [One(a.name, one, a.keeps) for one in FRAMEWORKS for a in one.agents]
