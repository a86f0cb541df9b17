"""Preference pairs from a matrix of recorded answers."""
