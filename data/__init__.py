"""Schemas of every artifact, the artifact store, readers, recipes and the embedded world.

Lowest layer: imports no other package of this project, neither Prefect nor torch.
"""
