"""`python -m cardbot` is the command `cardbot`."""

from cardbot.cli import main

main()
