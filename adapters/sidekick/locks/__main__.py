"""`python -m adapters.sidekick.locks`: the lock of each framework, from what it requires by `frameworks.toml`."""

import subprocess
import sys

from adapters.sidekick.frameworks import known

OPTIONS = ("--universal", "--python-version", "3.11", "--generate-hashes", "--no-annotate", "--no-header", "--quiet")

if __name__ == "__main__":
    for one in known().values():
        if one.requires:
            command = ["uv", "pip", "compile", *OPTIONS, "--no-emit-index-url", "-", "-o", str(one.lock)]
            subprocess.run(command, input="\n".join(one.requires).encode(), check=True, stdout=subprocess.DEVNULL)
            sys.stdout.write(f"{one.lock.name}: {one.lock.read_text().count('==')} distributions\n")
