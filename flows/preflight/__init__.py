"""What can be refused before a run begins, and what is filled in."""
