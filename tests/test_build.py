"""Building: what is built is used, each parameter has one player, families have or refuse, and what f a run may lack."""
