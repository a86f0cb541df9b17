"""ARTE: a teacher is aligned with what its student learns best from, and drafts again."""
