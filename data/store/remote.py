"""A store behind an fsspec URL: files are copied to a local cache and checked there by digest."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from data.errors import ArtifactError, InputError
from data.recipes.secrets import has_userinfo
from data.store.artifacts import RECORD, Record, check_file_name
from data.store.digests import digest_of

_MARK = "tsalign-store"
# Without folders; asked to make one, their clients make the bucket, be its name a typing error.
_OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "az", "abfs"}


def local_folder(url: str) -> tuple[Path, "Remote | None"]:
    """Where a store keeps its files on this machine, and its remote side if it has one.

    A path or file:// URL is its own folder. Any other URL gets a cache folder below
    $TSALIGN_CACHE (default ~/.cache/tsalign). Raises InputError for a URL that cannot be opened.
    """
    if not url.strip():
        raise InputError("store: is empty; give a folder or a URL such as s3://bucket/prefix")
    if has_userinfo(url):
        raise InputError("store: the URL holds a user or password; keep them in the environment")
    if "://" not in url:
        return Path(url).expanduser().absolute(), None
    if url.startswith("file://"):
        return Path(url.removeprefix("file://")).absolute(), None
    cache = Path(os.environ.get("TSALIGN_CACHE") or "~/.cache/tsalign").expanduser().absolute()
    return cache / digest_of(url.rstrip("/")).removeprefix("sha256:")[:16], Remote(url)


class Remote:
    """The far side of a store; an artifact exists there once its artifact.json does.

    Raises InputError where the far side refuses or does not answer: then to compute what is
    missing would waste hours, and what is computed stays in the local cache for the next run.
    """

    def __init__(self, url: str) -> None:
        import fsspec

        self.url = url
        with self._reached():
            self._files: Any
            self._files, root = fsspec.core.url_to_fs(url)
        self._root = str(root).rstrip("/")

    def check(self) -> None:
        """Write a small file, as the only sure sign that a run may leave its results there."""
        try:
            with self._reached():
                self._make_folder(self._root)
                self._files.pipe_file(f"{self._root}/{_MARK}", b"A store of tsalign.\n")
        except FileNotFoundError as error:
            raise InputError(f"store {self.url!r}: no such bucket or folder; make it") from error

    def pull(self, name: str, folder: Path) -> None:
        """Download an artifact's record and the files it names. Raises ArtifactError if absent."""
        source = f"{self._root}/{name}"
        try:
            with self._reached():
                content = self._files.cat_file(f"{source}/{RECORD}")
            record = Record.model_validate_json(content)
            (folder / RECORD).write_bytes(content)
            for file in record.files:
                check_file_name(file)
                target = folder / file
                target.parent.mkdir(parents=True, exist_ok=True)
                with self._reached():
                    self._files.get_file(f"{source}/{file}", str(target))
        except (FileNotFoundError, ValueError) as error:
            raise ArtifactError(f"{self.url}/{name}: not there or incomplete") from error

    def holds(self, name: str, record: Record) -> bool:
        """Whether the far side has exactly this record, hence its files."""
        try:
            with self._reached():
                found = self._files.cat_file(f"{self._root}/{name}/{RECORD}")
        except FileNotFoundError:
            return False
        return bool(found == record.dump())

    def push(self, name: str, folder: Path, record: Record) -> None:
        """Upload an artifact, its record last."""
        target = f"{self._root}/{name}"
        with self._reached():
            for file in [*record.files, RECORD]:
                self._make_folder(f"{target}/{file}".rpartition("/")[0])
                self._files.put_file(str(folder / file), f"{target}/{file}")

    def _make_folder(self, path: str) -> None:
        if self.url.partition("://")[0] not in _OBJECT_STORES:
            self._files.makedirs(path, exist_ok=True)

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """FileNotFoundError as it is; whatever else a client library raises as InputError."""
        try:
            yield
        except FileNotFoundError:
            raise
        except Exception as error:  # the libraries' errors have no common base
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise InputError(
                f"store {self.url!r}: cannot be used ({reason}); check the URL, the credentials "
                "and the network, then run again"
            ) from error
