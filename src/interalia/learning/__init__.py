"""Training updates: dynamics (update schemes), optimizers, learning-rate schedules and averages of the weights."""
