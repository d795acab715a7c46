"""The harness's environment: made by uv when it is first needed, with the hashes of its lock checked."""

from pathlib import Path

from adapters.sidekick.frameworks import Framework

HERE = Path(__file__).resolve().parent
CHILD = HERE / "harness" / "__main__.py"
REQUIRES = ("inspect-ai==0.3.285", "inspect-evals==0.26.0")
HARNESS = Framework(
    "inspect", "the benchmarks of inspect-evals", CHILD, HERE / "locks" / "inspect.txt", (), REQUIRES, 620
)
"""What `adapters.sidekick.venvs` makes: the one way of this project to make an environment."""
