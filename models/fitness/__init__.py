"""Compounds and targets to a value that ranks them: chemistry, networks, losses, trainings."""
