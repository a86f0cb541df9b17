"""The embedded world's models and its oracle as a judge."""
