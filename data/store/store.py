"""The artifact store: immutable results on disk, found by the digest of what made them.

<store>/<kind>/<first two hex digits>/<key hex>/{artifact.json, data.parquet or model files}

A result appears by one rename of a complete, synced folder, so a crash leaves either all of it or
nothing. Every artifact is hashed before its first use in a process; what does not match its own
record counts as absent and is computed again.
"""

import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa

from data.errors import ArtifactError, InputError, StoreFullError, out_of_space
from data.processes import alive, owner
from data.schemas import TABLES
from data.store.artifacts import RECORD, TABLE, Artifact, Record, describe, read_record
from data.store.digests import canonical_json, digest_of, tree_files
from data.store.groups import group_writes
from data.store.locks import LockedError, OnWait, alone, folder_in_use, if_unused, locked, shared
from data.store.remote import Remote, local_folder
from data.table_file import TableFile
from data.tables import read_table

Body = Callable[[Path], dict[str, Any]]

_KIND = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_TEMPORARY, _LOCKS, _SCRATCH = _RESERVED = ("tmp", "locks", "work")


class Store:
    """A folder of artifacts, or any fsspec URL (`s3://bucket/prefix`) mirrored in a local cache."""

    def __init__(self, url: str | Path) -> None:
        self.url = str(url)
        self.root, remote = local_folder(self.url)
        self._remote: Remote | None = remote
        self._cleaned = False

    def find(self, kind: str, key: dict) -> Artifact | None:
        """The artifact of this kind and key, or None if it is absent or damaged.

        Raises:
            InputError: someone put a file of their own into its folder.
        """
        record = self._find(kind, digest_of(key))
        return record.artifact if record else None

    def put(
        self,
        kind: str,
        key: dict,
        body: Body,
        *,
        spent: float = 0.0,
        on_wait: OnWait | None = None,
    ) -> Artifact:
        """The artifact of this kind and key; if it is not there, made by `body`.

        `body(out)` fills the empty folder `out` and returns small JSON metadata. Of two processes
        that ask for the same key, one computes and the other waits: `on_wait` is told for whom.
        `spent` are seconds that were spent on the result before.

        Raises:
            StoreFullError: the disk is full; what was there stays as it was.
        """
        digest = digest_of(key)
        lock = self._lock(kind, digest)
        with group_writes(self.root), self._writable(), locked(lock, on_wait):
            found = self._find(kind, digest)
            record = found or self._compute(kind, key, body, spent)
        if self._remote and not (found and self._remote.holds(self._name(kind, digest), found)):
            self._remote.push(self._name(kind, digest), self._folder(kind, digest), record)
        return record.artifact

    def path(self, artifact: Artifact) -> Path:
        """Local folder of an artifact, there and undamaged. Raises ArtifactError otherwise."""
        return self._folder(artifact.kind, self._record(artifact).artifact.key)

    def table(self, artifact: Artifact, schema: pa.Schema | None = None) -> pa.Table:
        """The artifact's data.parquet, of `schema` or that of its kind (data.schemas.TABLES)."""
        return read_table(self.path(artifact) / TABLE, schema or TABLES.get(artifact.kind))

    def open(self, artifact: Artifact) -> TableFile:
        """The same table, whose rows are read as they are asked for."""
        return TableFile(self.path(artifact) / TABLE, TABLES[artifact.kind])

    def record(self, artifact: Artifact) -> Record:
        """The full record of an artifact: key, files, creation. Raises ArtifactError."""
        return self._record(artifact)

    def check_remote(self) -> None:
        """InputError unless the far side, if there is one, can be written."""
        if self._remote:
            self._remote.check()

    def verify(self, artifact: Artifact) -> None:
        """Read and hash every file again. Raises ArtifactError naming the first damaged one."""
        self._record(artifact, fresh=True)

    def place(self, artifact: Artifact) -> Path:
        """Where an artifact is or would be on this machine, fetched but not checked."""
        folder = self._folder(artifact.kind, artifact.key)
        if self._remote and not (folder / RECORD).exists():
            self._fetch(artifact.kind, artifact.key)
        return folder

    def discard(self, folder: Path) -> None:
        """Remove an artifact, or any other folder of the store; gone at once if it goes at all."""
        with self._temporary() as aside, suppress(FileNotFoundError):  # a competitor was faster
            os.rename(folder, aside / "discarded")

    def leftovers(self) -> list[Path]:
        """Temporary folders whose process, on this host, has ended."""
        parent, own_host = self.root / _TEMPORARY, owner(os.getpid()).split("-")[0]
        found = []
        for folder in parent.iterdir() if parent.is_dir() else ():
            host, pid, *_ = [*folder.name.split("-"), "", ""]
            if host == own_host and pid.isdecimal() and not alive(int(pid), folder.name):
                # It may live in another container, whose processes cannot be seen from here.
                with if_unused(folder) as unused:
                    found += [folder] if unused else []
        return found

    @property
    def is_local(self) -> bool:
        """Whether the store is a folder of this machine, not a mirror of one elsewhere."""
        return self._remote is None

    def scratch(self, kind: str, key: dict) -> Path:
        """A local folder, not made yet, for what a stage wants to find again after a crash."""
        return self.root / _SCRATCH / self._name(kind, digest_of(key)).replace("/", "-")

    @contextmanager
    def landmark(self) -> Iterator[Path]:
        """A new folder, which whoever shares the store's own sees meanwhile."""
        with self._temporary() as folder:
            yield folder

    @contextmanager
    def used(self) -> Iterator[None]:
        """A run is using the store: nothing may be removed from it. Any number may at once."""
        with group_writes(self.root), self._writable(), shared(self.root / _LOCKS / "store"):
            yield

    @contextmanager
    def alone(self) -> Iterator[None]:
        """No run is using the store, and none starts. Raises InputError where one is."""
        try:
            with group_writes(self.root), alone(self.root / _LOCKS / "store"):
                yield
        except LockedError as error:
            raise InputError(
                f"{self.root}: a run is using this store; wait until it has ended"
            ) from error

    @contextmanager
    def _writable(self) -> Iterator[None]:
        """A full disk, and folders of other users, in one line."""
        try:
            yield
        except PermissionError as error:
            name = str(error.filename)
            if not name.startswith(f"{self.root}{os.sep}"):
                raise
            raise InputError(
                f"{name}: cannot be written, it is another user's; to share a store, have its "
                f"owner run `chmod -R g+rwXs {self.root}`"
            ) from error
        except Exception as error:
            if out_of_space(error):
                raise StoreFullError(
                    f"{self.root}: no space left; free some and run again, nothing finished is lost"
                ) from error
            raise

    def _lock(self, kind: str, key: str) -> Path:
        return self.root / _LOCKS / self._name(kind, key).replace("/", "-")

    def _record(self, artifact: Artifact, fresh: bool = False) -> Record:
        folder = self.place(artifact)
        record = read_record(folder, artifact.kind, artifact.key, fresh=fresh)
        if record.artifact.digest != artifact.digest:
            raise ArtifactError(
                f"{folder}: was computed again with another result; run the stage that refers to it"
            )
        return record

    def _find(self, kind: str, key: str) -> Record | None:
        folder = self._folder(kind, key)
        try:
            return read_record(folder, kind, key)
        except ArtifactError:
            if not (self._remote and self._fetch(kind, key)):
                return None
        try:
            return read_record(folder, kind, key)
        except ArtifactError:
            return None

    def _compute(self, kind: str, key: dict, body: Body, spent: float) -> Record:
        plain_key = json.loads(canonical_json(key))  # tuples become lists, as a reader will see it
        with self._temporary() as work:
            start = time.perf_counter()
            meta = body(work)
            seconds = round(spent + time.perf_counter() - start, 3)
            meta = json.loads(canonical_json(meta))
            record = describe(work, kind, plain_key, meta, seconds)
            return self._publish(work, record)

    def _publish(self, work: Path, record: Record) -> Record:
        """Move a complete folder to its place; returns what is there in the end."""
        kind, key = record.artifact.kind, record.artifact.key
        final = self._folder(kind, key)
        (work / RECORD).write_bytes(record.dump())
        sync_tree(work)
        final.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(8):
            try:
                os.rename(work, final)
            except OSError:
                if not os.path.lexists(final):
                    raise  # disk full, no permission: not a competitor
                try:
                    return read_record(final, kind, key)
                except ArtifactError:
                    self.discard(final)
            else:
                for folder in (final.parent, final.parent.parent, self.root):
                    _sync(folder)
                return record
        raise ArtifactError(f"{final}: another process keeps replacing it; run again later")

    def _fetch(self, kind: str, key: str) -> bool:
        """Download an artifact into the local cache; False if it is absent or damaged there."""
        assert self._remote is not None
        with self._temporary() as work:
            try:
                self._remote.pull(self._name(kind, key), work)
                self._publish(work, read_record(work, kind, key, fresh=True))
            except ArtifactError:
                return False
        return True

    def _name(self, kind: str, key: str) -> str:
        """Place of an artifact relative to the store."""
        if not _KIND.fullmatch(kind) or kind in _RESERVED:
            raise InputError(
                f"kind {kind!r}: must be lower-case letters, digits, '-', '_', "
                f"and none of {', '.join(_RESERVED)}"
            )
        hexdigits = key.removeprefix("sha256:")
        return f"{kind}/{hexdigits[:2]}/{hexdigits}"

    def _folder(self, kind: str, key: str) -> Path:
        return self.root / self._name(kind, key)

    @contextmanager
    def _temporary(self) -> Iterator[Path]:
        """A new folder below <store>/tmp, named after this process, removed in the end."""
        parent = self.root / _TEMPORARY
        parent.mkdir(parents=True, exist_ok=True)
        if not self._cleaned:
            for left in self.leftovers():
                with if_unused(left) as unused:
                    if unused:
                        shutil.rmtree(left, ignore_errors=True)
            self._cleaned = True
        folder = parent / f"{owner(os.getpid())}-{secrets.token_hex(6)}"
        folder.mkdir()
        try:
            with folder_in_use(folder):
                yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def sync_tree(folder: Path) -> None:
    """Have the disk hold every file and folder below `folder` before this returns."""
    for name in tree_files(folder):
        _sync(folder / name)
    for parent, _, _ in os.walk(folder, topdown=False):
        _sync(Path(parent))


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
