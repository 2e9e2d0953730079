"""How long tests wait for what is to happen at once."""

SOON = 30.0
"""Seconds in which whatever does not hang has happened, on a busy machine too. Our choice: it takes milliseconds."""
