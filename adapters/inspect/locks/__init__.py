"""The lock of the harness."""
