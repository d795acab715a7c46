"""What all tests share."""

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from gateway.telemetry import start_log

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def _quiet() -> Iterator[None]:
    start_log("error")
    os.environ.pop("DOOLITTLE_CONFIG", None)
    warnings.filterwarnings("ignore", category=ResourceWarning, module="anyio")
    yield


# No test depends on seconds: a busy machine may be slow at drawing and at running an example.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")


def pytest_report_header() -> list[str]:
    """What is not tested on this machine."""
    from tests.e2e.sidekick.rooms import left_out  # it imports this module

    return [line for line in (left_out(),) if line]
