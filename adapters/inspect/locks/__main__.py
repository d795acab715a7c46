"""`python -m adapters.inspect.locks`: the lock of the harness anew, from what it requires."""

from adapters.inspect.venv import HARNESS

if __name__ == "__main__":
    HARNESS.compile()
