"""Teacher hacking: a student distilled from a teacher, measured against the oracle behind it."""
