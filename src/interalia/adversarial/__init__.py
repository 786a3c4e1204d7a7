"""What stands between samples and a critic: divergences, penalties, and disturbances of its input."""
