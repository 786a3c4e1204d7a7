"""Divergences (adversarial losses), penalties on the critic, and disturbances of its input (noise, augmentation)."""
