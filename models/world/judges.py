"""Who scores answers at the end; the loop itself never asks."""

from collections.abc import Callable

Messages = list[dict[str, str]]
Judge = Callable[[Messages, str], float]


def oracle() -> Judge:
    """The embedded world's exact scorer. Only bootstrap and evaluate may ask for it."""
    from data.world.oracle import score

    return score
