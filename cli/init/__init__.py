"""The init command: a first recipe from what the user has."""
