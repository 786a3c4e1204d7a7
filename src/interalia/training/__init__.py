"""The training of a run: its state, the loop, checkpoints and callbacks."""
