"""Recipes: their sections, reading, checking and documentation."""
