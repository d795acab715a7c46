"""What the tests with Node programs share."""

from pathlib import Path

import pytest

from examples.tour.eliza import npm_ci


@pytest.fixture(scope="session")
def npm() -> None:
    """The packages of npm: clients, and servers to stand upstream."""
    npm_ci(Path(__file__).parent, print)
