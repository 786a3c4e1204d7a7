"""A package with entries for interalia, which itself stays unchanged."""
