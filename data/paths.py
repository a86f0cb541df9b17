"""What a name in a recipe means on disk."""

import re
from pathlib import Path

from data.errors import InputError


def named_path(name: str | Path, field: str) -> Path:
    """The path that a recipe's `field` names, `~` and `~user` put in full.

    Raises:
        InputError: there is no such user.
    """
    try:
        return Path(name).expanduser()
    except RuntimeError:
        user = str(name).split("/")[0]
        raise InputError(
            f"{field}: '{name}': there is no user {user[1:]!r} here; write the path in full"
        ) from None


def is_url(name: str | Path) -> bool:
    """Whether a name is an address, also one whose slashes a path has joined."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(name)) is not None


def anchored(path: Path) -> Path:
    """The file, its folder without symbolic links: a link moved later leads to the same file.

    The file keeps its name, by which prompts without a data set of their own are called.
    """
    return path.parent.resolve() / path.name
