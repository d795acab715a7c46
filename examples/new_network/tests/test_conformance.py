from adapters.conformance import suite
from doolittle_morse.testing import MorseFarSide

TestMorse = suite("morse", MorseFarSide)
