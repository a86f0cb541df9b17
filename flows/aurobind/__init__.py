"""Compounds ranked by how strongly they bind: the fitness half of AuroBind."""
