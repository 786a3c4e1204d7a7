"""How the players of a game move: dynamics, optimizers, schedules of their rates, averages of the weights."""
