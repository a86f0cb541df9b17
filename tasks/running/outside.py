"""What a stage reads from outside of the store, and whether it is still what the run began with.

Such bytes are named by their digest when a run begins. Whoever writes into them meanwhile must not
have results of the new bytes found under the name of the old.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from data.errors import InputError
from data.readers.activities import activities_digest
from data.readers.logged import logged_digest
from data.recipes.prompts import PromptColumns
from data.recipes.recipe import LoggedConfig
from data.source_code import code_digest
from data.store.digests import (
    canonical_json,
    digest_of,
    file_digest,
    is_hidden,
    tree_digest,
    tree_files,
)
from models.served import Served, url_field

_TRIES = 3  # of a stage beside someone who writes to what it reads


class External(BaseModel):
    """A file or model folder the user brought, outside the store; its bytes are its name."""

    model_config = ConfigDict(frozen=True)

    path: str
    digest: str
    field: str = "input"  # of the recipe, for messages
    name: str = ""  # of a file whose name reaches its rows: part of its identity
    asks: tuple[str, ...] = ()  # of a model: see models.traits

    @property
    def identity(self) -> str:
        """How it enters a key."""
        return f"{self.name} {self.digest}" if self.name else self.digest

    def digest_now(self) -> str:
        """The digest of what is there now. Raises InputError if it is gone."""
        path = Path(self.path)
        return tree_digest(path) if path.is_dir() else file_digest(path)


class PromptRows(External):
    """A file of prompts; of what `datasets` has saved in a folder perhaps one split."""

    split: str | None = None
    columns: PromptColumns = PromptColumns()

    @property
    def rows(self) -> str:
        """What the reader of prompts is given."""
        return f"{self.path}:{self.split}" if self.split else self.path

    @property
    def identity(self) -> str:
        read_as = {"split": self.split} if self.split else {}
        read_as |= self.columns.named()
        return (
            f"{super().identity} {canonical_json(read_as).decode()}"
            if read_as
            else (super().identity)
        )


class Dataset(PromptRows):
    """A `datasets` id; its digest is that of the rows read."""

    def digest_now(self) -> str:
        from data.readers.prompts import read_prompts

        table, _ = read_prompts(self.path, columns=self.columns)
        return digest_of(table.to_pylist())


class Logs(External):
    """The files of recorded completions and judgments."""

    config: LoggedConfig

    def digest_now(self) -> str:
        return logged_digest(self.config)


class Activities(External):
    """The tables of a file or folder of activities; what lies beside them is not read."""

    def digest_now(self) -> str:
        return activities_digest(Path(self.path))


class Code(External):
    """A user's Python file with the local modules it imports."""

    def digest_now(self) -> str:
        return code_digest(Path(self.path))


class Shipped(External):
    """A reward function of this project, by its version."""

    def digest_now(self) -> str:
        return self.digest


class Endpoint(External):
    """A language model behind OPENAI_BASE_URL, by what its server says it is."""

    def digest_now(self) -> str:
        return self.digest


class ServedModel(External):
    """A language model behind a server of its own; of its folder the tokenizer is read.

    What the server says of itself names it, not where it is: it may move.
    """

    url: str
    served: str  # as the server calls it
    version: str  # of the server

    @property
    def says(self) -> str:
        return f"{self.version} {self.served}"

    @property
    def identity(self) -> str:
        return f"{super().identity} {self.says}"

    @property
    def server(self) -> Served:
        return Served(self.url, self.served, url_field(self.field))


def outside(inputs: Any) -> Iterator[External]:
    """What is from outside among a stage's arguments, in lists too."""
    if isinstance(inputs, External):
        yield inputs
    elif isinstance(inputs, list | tuple):
        for item in inputs:
            yield from outside(item)


def changed(found: External) -> str | None:
    """What to tell the user if the bytes are not those the run began with.

    Files whose size, times and inode are as they were cost a look each and are not read.
    """
    try:
        if found.digest_now() == found.digest:
            return None
        what = "has changed"
    except InputError as error:
        what = f"cannot be read any more ({error})"
    return (
        f"{found.field}: '{found.path}' {what} since the run began, and nothing made of it "
        "since is kept; run the same command again"
    )


def steadily(found: list[External], forget: Callable[[], None], body: Callable[[], Any]) -> Any:
    """What `body()` gives, made while nothing outside was written to.

    Bytes that were replaced and put back meanwhile are equal in the end, and yet others may have
    been read: then the body is run again.

    Raises:
        InputError: something has changed, or is written to again and again.
    """
    for _ in range(_TRIES):
        seen = states(found)
        with unchanged(found, forget):
            result = body()
        if states(found) == seen:
            return result
        forget()
    raise InputError(
        f"{found[0].field}: '{found[0].path}' or another input of this stage is being written to; "
        "wait until that has ended and run the same command again"
    )


def states(found: list[External]) -> list[tuple[str, int, int, int, int]]:
    """Path, size, times and inode of every file outside: what any writing changes."""
    files = []
    for path in (Path(one.path) for one in found):
        names = [n for n in tree_files(path) if not is_hidden(n)] if path.is_dir() else [""]
        files += [path / name for name in names]
    stats = [(str(file), file.stat()) for file in files if file.is_file()]
    return [(name, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino) for name, s in stats]


@contextmanager
def unchanged(found: list[External], forget: Callable[[], None]) -> Iterator[None]:
    """InputError unless what is outside is the same before and after; `forget` what was loaded."""

    def check() -> None:
        for one in found:
            if said := changed(one):
                forget()
                raise InputError(said)

    check()
    try:
        yield
    except Exception:
        check()  # what went wrong may be due to it
        raise
    check()
