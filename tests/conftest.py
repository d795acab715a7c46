"""What all tests share."""

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.telemetry import start_log

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def _quiet() -> Iterator[None]:
    start_log("error")
    os.environ.pop("DOOLITTLE_CONFIG", None)
    warnings.filterwarnings("ignore", category=ResourceWarning, module="anyio")
    yield
