"""A plug-in package, which extends interalia without a change in it."""
