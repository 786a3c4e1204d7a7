"""Adversarial losses (divergences), penalties on the critic, and random changes of its input (noise and augmentation)."""
