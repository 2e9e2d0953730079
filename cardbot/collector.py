"""Sets Python's garbage collector up for a program that runs for months."""

import gc

YOUNG = 20_000
"""Containers allocated, less those freed, before the youngest generation is searched; Python's own number is 700.
Our choice: with 500 answers under way, each search then finds what has lived and died since, not what is in use."""


def settle() -> None:
    """Take all that exists now for permanent. To be called once everything is imported.

    The official SDKs alone bring some 100,000 objects, which each full search would look through in vain: a pause of
    the event loop each time (see `python -m benchmarks --only crowd`).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG)
