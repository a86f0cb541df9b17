"""A store behind an fsspec URL: files are copied to a local cache and checked there by digest."""

import os
from pathlib import Path
from typing import Any

from data.artifacts import RECORD, Record
from data.digests import digest_of
from data.errors import ArtifactError, InputError


def local_folder(url: str) -> tuple[Path, "Remote | None"]:
    """Where a store keeps its files on this machine, and its remote side if it has one.

    A path or file:// URL is its own folder. Any other URL gets a cache folder below
    $TSALIGN_CACHE (default ~/.cache/tsalign). Raises InputError for a URL that cannot be opened.
    """
    if not url.strip():
        raise InputError("store: is empty; give a folder or a URL such as s3://bucket/prefix")
    if "://" not in url:
        return Path(url).expanduser().absolute(), None
    if url.startswith("file://"):
        return Path(url.removeprefix("file://")).absolute(), None
    cache = Path(os.environ.get("TSALIGN_CACHE") or "~/.cache/tsalign").expanduser().absolute()
    return cache / digest_of(url.rstrip("/")).removeprefix("sha256:")[:16], Remote(url)


class Remote:
    """The far side of a store; an artifact exists there once its artifact.json does."""

    def __init__(self, url: str) -> None:
        import fsspec

        self.url = url
        try:
            self._files: Any
            self._files, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise InputError(f"store {url!r}: cannot be opened ({error})") from error
        self._root = str(root).rstrip("/")

    def pull(self, name: str, folder: Path) -> None:
        """Download an artifact's record and the files it names. Raises ArtifactError if absent."""
        source = f"{self._root}/{name}"
        try:
            (folder / RECORD).write_bytes(self._files.cat_file(f"{source}/{RECORD}"))
            record = Record.model_validate_json((folder / RECORD).read_bytes())
            for file in record.files:
                target = folder / file
                if not target.resolve().is_relative_to(folder.resolve()):
                    raise ArtifactError(f"{self.url}/{name}: names a file outside its folder")
                target.parent.mkdir(parents=True, exist_ok=True)
                self._files.get_file(f"{source}/{file}", str(target))
        except (FileNotFoundError, ValueError) as error:
            raise ArtifactError(f"{self.url}/{name}: not there or incomplete") from error

    def holds(self, name: str, record: Record) -> bool:
        """Whether the far side has exactly this record, hence its files."""
        try:
            return bool(self._files.cat_file(f"{self._root}/{name}/{RECORD}") == record.dump())
        except FileNotFoundError:
            return False

    def push(self, name: str, folder: Path, record: Record) -> None:
        """Upload an artifact, its record last."""
        target = f"{self._root}/{name}"
        for file in [*record.files, RECORD]:
            self._files.makedirs(f"{target}/{file}".rpartition("/")[0], exist_ok=True)
            self._files.put_file(str(folder / file), f"{target}/{file}")
