"""Digests of values, files and folders: what names an artifact and detects damage.

A value is hashed through one canonical JSON text. What has no such text (NaN, sets, paths, objects)
is refused, because a key that changes from one process to the next is a cache that never hits, and
one that collapses two values is a cache that lies.
"""

import hashlib
import json
import math
import os
import time
from pathlib import Path
from typing import Any

from data.errors import InputError
from data.files import check_regular

_REMEDIES = {
    "set": "pass a sorted list",
    "frozenset": "pass a sorted list",
    "bytes": "pass its hex digest",
    "PosixPath": "pass a digest of what the path holds, or a name",
    "WindowsPath": "pass a digest of what the path holds, or a name",
    "datetime": "pass text, or leave the time out of the key",
    "date": "pass text, or leave the time out of the key",
}


def canonical_json(obj: Any) -> bytes:
    """UTF-8 JSON of `obj` with sorted keys and no spaces; the same value gives the same bytes.

    Takes None, bool, int, float, str, list, tuple (as a list) and dict with text keys, nested.
    1 and 1.0 stay different; -0.0 is written as 0.0. Raises InputError for everything else.
    """
    try:
        plain = _plain(obj, "value")
    except RecursionError:
        raise InputError("value: nested too deeply (or contains itself) to be hashed") from None
    return json.dumps(
        plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def _plain(obj: Any, where: str) -> Any:
    """`obj` rebuilt from the six JSON types, or InputError naming the place `where`."""
    if obj is None or type(obj) is bool:
        return obj
    if type(obj) is str:
        return _text(obj, where)
    if type(obj) is int:
        if abs(obj) >= 2**64:
            raise InputError(f"{where}: integer of more than 64 bits; pass it as text")
        return obj
    if isinstance(obj, float):  # numpy.float64 is one
        if not math.isfinite(obj):
            raise InputError(
                f"{where}: {float(obj)} cannot be hashed; pass a finite number or null"
            )
        return float(obj) + 0.0  # -0.0 + 0.0 is 0.0
    if isinstance(obj, (list, tuple)):
        return [_plain(item, f"{where}[{i}]") for i, item in enumerate(obj)]
    if type(obj) is dict:
        return {_key(key, where): _plain(item, f"{where}.{key}") for key, item in obj.items()}
    remedy = "pass a JSON value (for pydantic models .model_dump(), for numpy values .item())"
    name = type(obj).__name__
    raise InputError(f"{where}: a {name} cannot be hashed; {_REMEDIES.get(name, remedy)}")


def _key(key: Any, where: str) -> str:
    if type(key) is not str:
        raise InputError(f"{where}: keys must be text, got {type(key).__name__}; convert them")
    return _text(key, where)


def _text(text: str, where: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(f"{where}: text with a lone surrogate has no UTF-8; remove it") from None
    return text


def digest_of(obj: Any) -> str:
    """ "sha256:<hex>" of the canonical JSON of `obj`."""
    return "sha256:" + hashlib.sha256(canonical_json(obj)).hexdigest()


# (path, size, mtime, ctime, inode) -> digest, for this process only. A file's own time can be set
# back, as copying tools do; the time at which that was done cannot.
_memo: dict[tuple[str, int, int, int, int], str] = {}
# A file younger than this may still change within one tick of its timestamp (as git's racy index).
_SETTLED_NS = 2_000_000_000


def file_digest(path: str | Path, fresh: bool = False) -> str:
    """ "sha256:<hex>" of a file's bytes; remembered while size, times and inode stay the same.

    With `fresh` the bytes are read again, as a check for damage must. Raises InputError if they
    cannot be read.
    """
    try:
        stat = os.stat(path)
        times = stat.st_mtime_ns, stat.st_ctime_ns
        memo_key = (os.path.abspath(path), stat.st_size, *times, stat.st_ino)
        if not fresh and memo_key in _memo:
            return _memo[memo_key]
        with open(path, "rb") as file:
            digest = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    if time.time_ns() - max(times) > _SETTLED_NS:
        _memo[memo_key] = digest
    return digest


def tree_files(folder: str | Path) -> list[str]:
    """Relative POSIX names of all files below `folder`, sorted; links to folders are refused."""
    names = []
    for parent, folders, files in os.walk(folder):
        for name in folders:
            if os.path.islink(os.path.join(parent, name)):
                raise InputError(f"{parent}/{name}: a linked folder cannot be hashed; copy it")
        relative = Path(parent).relative_to(folder)
        names += [(relative / name).as_posix() for name in files]
    return sorted(names)


def tree_digest(folder: str | Path) -> str:
    """Digest of a folder's relative file names and bytes, such as a Hugging Face model directory.

    Hidden files (download records, git) and an artifact's own record are left out, so a model has
    the same digest in the store and copied elsewhere. Links to files are followed, as the hub's
    cache consists of them. Raises InputError for a missing or empty folder.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputError(f"{folder}: no such folder; give a local model directory")
    names = [n for n in tree_files(root) if n != "artifact.json" and not is_hidden(n)]
    if not names:
        raise InputError(f"{folder}: holds no files; give a local model directory")
    for name in names:
        check_regular(root / name)  # a pipe would be waited for
    return digest_of({name: file_digest(root / name) for name in names})


def is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))
