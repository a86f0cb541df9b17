"""What a path names, whatever it looks like: asking never raises and never waits.

Opening a pipe waits for a writer, a device may never end, and `Path.is_file` raises for a path
that is too long; so everything that a user names is looked at here before it is opened.
"""

import os
import stat
from pathlib import Path
from shutil import rmtree

from data.errors import InputError
from data.paths import is_url
from data.readers.known_data import where_from

_MISSING = "no such file"


def check_regular(path: str | Path, field: str | None = None) -> None:
    """InputError unless the path, the value of this field of the recipe, names a regular file."""
    wrong = _irregular(path)
    if wrong is None:
        return
    problem, remedy = wrong
    source = where_from(path) if problem == _MISSING else ""
    if field is None:
        raise InputError(f"{path}: {problem}; {remedy}{source}")
    if problem == _MISSING:
        raise InputError(f"{field}: {problem} '{path}'; {remedy} (relative to here){source}")
    raise InputError(f"{field}: '{path}' {problem}; {remedy}")


def _irregular(path: str | Path) -> tuple[str, str] | None:
    """What is wrong with a path that names no regular file, and the remedy."""
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        if is_url(path):
            return "is a URL, which is not read", "download the file and name it"
        return _MISSING, "check the path"
    except (OSError, ValueError) as error:  # too long, a NUL byte, no permission, a loop of links
        reason = getattr(error, "strerror", None) or str(error)
        return f"cannot be read ({reason})", "check the path"
    if stat.S_ISDIR(mode):
        return "is a folder", "name a file in it"
    if not stat.S_ISREG(mode):
        return "is a pipe or a device, no file", "write its content into a file and name that"
    return None


def check_folder_files(folder: str | Path, field: str) -> None:
    """InputError for a pipe or device among the files of a model: whoever opens it waits."""
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if os.path.exists(entry.path) and not entry.is_dir():
                check_regular(entry.path, field)


def emptied(folder: Path) -> Path:
    """The folder without what an earlier try has left in it."""
    for path in folder.iterdir():
        rmtree(path) if path.is_dir() else path.unlink()
    return folder
