"""The process: takes calls in, sends calls out. Knows no network."""
