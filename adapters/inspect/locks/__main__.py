"""`python -m adapters.inspect.locks`: the lock of the harness anew, from what it requires."""

import subprocess

from adapters.inspect.venv import HARNESS
from adapters.sidekick.locks.__main__ import OPTIONS

if __name__ == "__main__":
    command = ["uv", "pip", "compile", *OPTIONS, "--no-emit-index-url", "-", "-o", str(HARNESS.lock)]
    subprocess.run(command, input="\n".join(HARNESS.requires).encode(), check=True, stdout=subprocess.DEVNULL)
