"""The suite that every adapter passes, ours or a stranger's, as pytest classes of three lines:

    from adapters.conformance import suite
    from doolittle_morse.testing import MorseFarSide
    TestMorse = suite("morse", MorseFarSide)

Every call goes through a real gateway (the fixture `box`). Checks of what the manifest does not claim are left out; a
check of its own looks that it is not claimed by halves.
"""

import pytest

# Before they are imported: a check that fails shows the values that it compared.
pytest.register_assert_rewrite(*(f"adapters.conformance.{m}" for m in ("bench", "calls", "faults", "lists", "inbound")))

from adapters.conformance.far_side import FarSide, NearSide, Outcome, Talker, Trial  # noqa: E402
from adapters.conformance.suite import inbound_suite, suite  # noqa: E402

__all__ = ["FarSide", "NearSide", "Outcome", "Talker", "Trial", "inbound_suite", "suite"]
