"""Runs the command line for `python -m interalia.cli`."""

from interalia.cli import main

main()
