"""Where rows of prompts come from: a file, a folder that `datasets` saved, or an id of the hub."""

import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from data.errors import InputError
from data.paths import is_url
from data.readers.hub import quiet_hub
from data.readers.rows import SUFFIXES, Row, column_names, read_rows

_OF_FILES = (*SUFFIXES, ".gz", ".txt", ".tsv", ".yaml", ".xlsx", ".arrow")
# org/name or name, with an optional revision and split: org/name@refs/convert/parquet:test
_DATASET_ID = re.compile(
    r"(?P<name>[\w.-]+(/[\w.-]+)?)(@(?P<revision>[\w./-]+))?(:(?P<split>[\w.\[\]%:+-]+))?"
)
_SPLITS, _ONE_SPLIT = "dataset_dict.json", "state.json"  # what save_to_disk writes into a folder


class Found(NamedTuple):
    rows: Iterable[Row]
    name: str  # of the data set, for rows that do not say theirs
    columns: Callable[[], list[str] | None]  # all there are; None: every row has them


def found_rows(path: str | Path, columns: Collection[str]) -> Found:
    """The rows behind a path, a saved folder (FOLDER or FOLDER:SPLIT) or a `datasets` id.

    Args:
        columns: Those that are read where others can be left out.

    Raises:
        InputError: also while the rows are read.
    """
    text = str(path)
    if saved := saved_folder(text):
        return _of_folder(*saved, text, columns)
    id_ = _DATASET_ID.fullmatch(text)
    if looks_like_file(text) or id_ is None:
        name = Path(text).name.split(".")[0] or "prompts"
        return Found(read_rows(text, columns), name, lambda: column_names(text))
    rows = _of_hub(id_["name"], id_["split"] or "train", id_["revision"])
    return Found(rows, id_["name"], lambda: None)


def looks_like_file(name: str) -> bool:
    """Whether a name is that of a file, there or not, and no `datasets` id."""
    known = Path(name).suffix.lower() in _OF_FILES
    return known or is_url(name) or not name.strip() or name[0] in "./~" or os.path.exists(name)


def saved_folder(name: str) -> tuple[Path, str | None] | None:
    """Folder and split of what `datasets` has saved there; None: it is nothing of that kind."""
    folder, colon, split = name.rpartition(":")
    for path, part in ((name, None), (folder, split) if colon else (name, None)):
        if path and any(_is_file(Path(path) / inner) for inner in (_SPLITS, _ONE_SPLIT)):
            return Path(path), part
    return None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long, or with a null byte
        return False


def _of_folder(folder: Path, split: str | None, text: str, columns: Collection[str]) -> Found:
    import datasets

    try:
        data = datasets.load_from_disk(str(folder))
    except Exception as error:  # of the library, pyarrow and json: they have no common base
        raise InputError(f"{text}: not a readable saved data set ({_short(error)})") from error
    if isinstance(data, datasets.DatasetDict):
        names = list(data)
        if split is None and len(names) == 1:
            split = names[0]
        if split not in names:
            said = "name one" if split is None else f"{split!r} is none of them"
            raise InputError(
                f"{text}: holds the splits {', '.join(names)}; {said}, as {folder}:"
                f"{names[0] if names else 'train'}"
            )
        data = data[split]
    elif split is not None:
        raise InputError(f"{text}: holds one split without a name; leave ':{split}' out")
    every = data.column_names
    used = data.select_columns([name for name in every if name in columns])

    def rows() -> Iterator[Row]:
        number = 0
        try:
            for number, row in enumerate(used, start=1):
                yield f"{text} row {number}", dict(row)
        except InputError:
            raise
        except Exception as error:
            raise InputError(
                f"{text} row {number + 1}: cannot be read ({_short(error)})"
            ) from error

    return Found(rows(), folder.absolute().name, lambda: every)


def _of_hub(name: str, split: str, revision: str | None) -> Iterator[Row]:
    import datasets

    try:
        with quiet_hub():
            rows = datasets.load_dataset(name, split=split, revision=revision)
    except Exception as error:  # the library's and its network client's errors have no common base
        raise InputError(
            f"{name}: neither a file nor a data set that can be loaded ({_short(error)})"
        ) from error
    for number, row in enumerate(rows, start=1):
        yield f"{name}:{split} row {number}", dict(row)


def _short(error: BaseException) -> str:
    """First line of an error's text, so that ours stays one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:120]
