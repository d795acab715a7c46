from doolittle_morse.testing import MorseFarSide

from adapters.conformance import suite

TestMorse = suite("morse", MorseFarSide)
