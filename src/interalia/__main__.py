"""Runs the command line for `python -m interalia`, and for `torchrun -m interalia`."""

from interalia.cli import main

main()
