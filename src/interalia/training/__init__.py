"""The training of a run: its state, the loop, checkpoints, and the callbacks that are called after each step."""
