"""The processes that train one model together, as each of them sees itself.

Where a training runs in one process alone, it is the main one and waits for nobody.
"""

from collections.abc import Callable
from typing import TypeVar

from torch import distributed

T = TypeVar("T")


def is_main() -> bool:
    """Whether this is the process that writes for all."""
    return not distributed.is_initialized() or distributed.get_rank() == 0


def from_main(find: Callable[[], T]) -> T:
    """What the main process finds, told to all, so that all decide alike."""
    if not distributed.is_initialized():
        return find()
    told = [find() if is_main() else None]
    distributed.broadcast_object_list(told, src=0)
    return told[0]  # type: ignore[return-value]


def wait() -> None:
    """Until all processes are here."""
    if distributed.is_initialized():
        distributed.barrier()
