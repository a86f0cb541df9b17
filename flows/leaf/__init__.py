"""LEAF: a small text encoder learns a larger one's vectors."""
