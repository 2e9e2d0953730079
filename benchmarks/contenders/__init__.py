"""The bots and readers that are measured, each a program of its own: `python -m benchmarks.contenders.…`."""
