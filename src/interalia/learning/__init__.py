"""Updates of a game's weights: dynamics (update schemes), optimizers, learning-rate schedules and averages of the weights."""
