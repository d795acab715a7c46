"""The harness's environment: made by uv when it is first needed, with the hashes of its lock checked."""

from pathlib import Path

from adapters.venvs import Environment

HERE = Path(__file__).resolve().parent
CHILD = HERE / "harness" / "__main__.py"
REQUIRES = ("inspect-ai==0.3.285", "inspect-evals==0.26.0", "email-validator>=2.2,<3")
HARNESS = Environment("inspect", "the benchmarks of inspect-evals", HERE / "locks" / "inspect.txt", REQUIRES, 620)
