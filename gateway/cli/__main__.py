"""`python -m gateway.cli`: the command, where its script is not on the path."""

from gateway.cli.main import run

run()
