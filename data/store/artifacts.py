"""What an artifact is: the reference that passes between stages and the record beside its files."""

import json
import os
import platform
import socket
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from data.errors import ArtifactError, InputError
from data.schemas import TABLES
from data.store.digests import canonical_json, digest_of, file_digest, is_hidden, tree_files
from data.tables import check_schema

RECORD = "artifact.json"  # written last: a folder without it is not an artifact
TABLE = "data.parquet"
Kind = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*\z", max_length=64)]
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}\z")]
# Formats that run code when loaded, and hold paths that make equal results differ.
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".joblib")


class Artifact(BaseModel):
    """Reference to an immutable result: small, JSON, and free of paths, so it works anywhere."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    key: Digest  # of everything that decided the content
    digest: Digest  # of the files, so equal content has one digest in every store
    rows: int | None = None  # of data.parquet, where there is one
    meta: dict[str, Any] = {}  # plain JSON: the store writes it through canonical_json
    seconds: float = 0.0  # the stage body took


class FileRecord(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: Digest
    size: int = Field(ge=0)


class Record(BaseModel):
    """Content of artifact.json: the reference, the full key and every file."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: int = 2  # 1 had no checksum
    artifact: Artifact
    key: dict[str, JsonValue]
    files: dict[str, FileRecord]
    created: str
    computed_by: dict[str, str]

    def dump(self) -> bytes:
        """The bytes of artifact.json, with a checksum: a stage's metadata is in no file's."""
        content = self.model_dump(mode="json")
        checksum = {"checksum": digest_of(content)} if self.format > 1 else {}
        return canonical_json(content | checksum)


def describe(folder: Path, kind: str, key: dict, meta: dict, seconds: float) -> Record:
    """The record of what a stage body left in `folder`. Raises ArtifactError if unfit to keep."""
    names = tree_files(folder)
    for name in names:
        check_file_name(name)
        if (folder / name).is_symlink():
            raise ArtifactError(f"{name}: is a link; an artifact must own its bytes, copy the file")
    if not names:
        raise ArtifactError(f"{kind}: the stage wrote no file; write at least one into its folder")
    files = {
        name: FileRecord(sha256=file_digest(folder / name), size=(folder / name).stat().st_size)
        for name in names
    }
    artifact = Artifact(
        kind=kind,
        key=digest_of(key),
        digest=digest_of({name: file.sha256 for name, file in files.items()}),
        rows=_rows(folder / TABLE, kind) if TABLE in files else None,
        meta=meta,
        seconds=seconds,
    )
    return Record(
        artifact=artifact,
        key=key,
        files=files,
        created=datetime.now(UTC).isoformat(timespec="microseconds"),
        computed_by={
            "host": socket.gethostname(),
            "pid": str(os.getpid()),
            "python": platform.python_version(),
        },
    )


def check_file_name(name: str) -> None:
    """ArtifactError for a file that leads out of its artifact, replaces its record or can run."""
    parts = PurePosixPath(name).parts
    if not parts or ".." in parts or name.startswith("/") or "\\" in name or "\0" in name:
        raise ArtifactError(f"{name!r}: lies outside its artifact; run its stage again")
    if name == RECORD:
        raise ArtifactError(f"{name}: reserved for the store; write under another name")
    if name.lower().endswith(_PICKLES):
        raise ArtifactError(f"{name}: pickled files are not stored; save safetensors or drop it")


def _rows(path: Path, kind: str) -> int:
    try:
        with pq.ParquetFile(path) as file:
            schema, rows = file.schema_arrow, file.metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        raise ArtifactError(f"{kind}: {TABLE} is not Parquet ({type(error).__name__})") from error
    if kind in TABLES:
        check_schema(schema, TABLES[kind], f"{kind}: {TABLE}")
    return int(rows)


@dataclass(frozen=True)
class Examination:
    """What a folder of the store holds: each finding is "file: what is wrong with it"."""

    record: Record | None  # None if it cannot be relied on
    damage: list[str]
    foreign: list[str] = field(default_factory=list)  # files that someone else put there


def read_record(folder: Path, kind: str, key: str, *, fresh: bool = False) -> Record:
    """The record in `folder`, of this kind and key, once every file is as it was written.

    Bytes are hashed at their first use in a process and, with `fresh`, again.

    Raises:
        ArtifactError: naming the first damaged file.
        InputError: a foreign file is there, which a model's loader might take for its own.
    """
    found = examine(folder, kind, key, fresh=fresh)
    if found.foreign:
        raise InputError(f"{folder}: {found.foreign[0]}")
    if found.record is None or found.damage:
        raise ArtifactError(f"{folder}: {found.damage[0]}; run its stage again")
    return found.record


def examine(folder: Path, kind: str, key: str, *, fresh: bool = True) -> Examination:
    """Everything that is wrong with the artifact in `folder`."""
    try:
        record = load_record(folder, kind, key)
    except ArtifactError as error:
        return Examination(None, [str(error)])
    damage = [
        f"{name}: {wrong}"
        for name, file in record.files.items()
        if (wrong := _damage(folder / name, file, fresh))
    ]
    others = sorted(set(tree_files(folder)) - set(record.files) - {RECORD})
    foreign = [
        f"{name}: not part of the artifact; move it away" for name in others if not is_hidden(name)
    ]
    return Examination(record, damage, foreign)


def load_record(folder: Path, kind: str, key: str) -> Record:
    """The record in `folder`, of this kind and key, before a look at any file.

    Raises:
        ArtifactError: "artifact.json: what is wrong with it".
    """
    try:
        record = _parse((folder / RECORD).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        what = f"{RECORD}: missing" if folder.is_dir() else "not in the store"
        raise ArtifactError(what) from None
    except (OSError, ValueError, RecursionError, InputError) as error:
        raise ArtifactError(f"{RECORD}: not a readable record") from error
    artifact = record.artifact
    sums = {name: file.sha256 for name, file in record.files.items()}
    if artifact.kind != kind or artifact.key != key or digest_of(record.key) != key:
        raise ArtifactError(f"{RECORD}: records another key than its place")
    if artifact.digest != digest_of(sums):
        raise ArtifactError(f"{RECORD}: digest does not match its files")
    for name in record.files:
        check_file_name(name)
    return record


def _parse(raw: bytes) -> Record:
    """Raises ValueError, RecursionError or InputError for anything but a record as written."""
    record = Record.model_validate_json(raw)
    content = json.loads(raw)
    if record.format > 1 and content.pop("checksum", None) != digest_of(content):
        raise ValueError("checksum")
    return record


def _damage(path: Path, file: FileRecord, fresh: bool) -> str | None:
    if path.is_symlink() or not path.is_file():
        return "missing"
    size = path.stat().st_size
    if size != file.size:
        return f"has {size} bytes, was {file.size}"
    return "content has changed" if file_digest(path, fresh=fresh) != file.sha256 else None
