"""Language models that judge: how two answers are shown to one, and what its verdict says."""
