"""A store in a folder of a group: what one user makes there, the others of the group may change."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def group_writes(root: Path) -> Iterator[None]:
    """What this process makes within, the group may write, if the folder is shared in that way."""
    if not shared_by_group(root):
        yield
        return
    before = os.umask(0)
    os.umask(before & ~stat.S_IRWXG)
    try:
        yield
    finally:
        os.umask(before)


def shared_by_group(root: Path) -> bool:
    """Whether the folder is writable for its group or hands its group on (setgid); one that is not
    there yet, whether it will hand it on."""
    try:
        return bool(root.stat().st_mode & (stat.S_IWGRP | stat.S_ISGID))
    except FileNotFoundError:
        there = next((folder for folder in root.parents if folder.is_dir()), None)
        return there is not None and bool(there.stat().st_mode & stat.S_ISGID)
