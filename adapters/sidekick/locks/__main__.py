"""`python -m adapters.sidekick.locks`: the lock of each framework, from what it requires by `frameworks.toml`."""

import sys

from adapters.sidekick.frameworks import known

if __name__ == "__main__":
    for one in known().values():
        if one.requires:
            one.compile()
            sys.stdout.write(f"{one.lock.name}: {one.lock.read_text().count('==')} distributions\n")
