"""A package that adds to interalia, and changes nothing in it."""
