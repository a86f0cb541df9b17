"""What an artifact is: the reference that passes between stages and the record beside its files."""

import os
import platform
import socket
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from data.digests import canonical_json, digest_of, file_digest, tree_files
from data.errors import ArtifactError
from data.schemas import TABLES
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

    format: int = 1
    artifact: Artifact
    key: dict[str, JsonValue]
    files: dict[str, FileRecord]
    created: str
    computed_by: dict[str, str]

    def dump(self) -> bytes:
        return canonical_json(self.model_dump(mode="json"))


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
        created=datetime.now(UTC).isoformat(timespec="seconds"),
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


def read_record(folder: Path, kind: str, key: str) -> Record:
    """The record in `folder`, checked to be of this kind and key, with its files of their sizes.

    Reads no file's bytes; see `check_bytes`. Raises ArtifactError naming what is wrong.
    """
    path = folder / RECORD
    try:
        record = Record.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise ArtifactError(f"{kind} {key}: not in the store; run its stage again") from None
    except (OSError, ValidationError, RecursionError) as error:
        raise ArtifactError(f"{path}: not a readable record; run its stage again") from error
    artifact = record.artifact
    sums = {name: file.sha256 for name, file in record.files.items()}
    if artifact.kind != kind or artifact.key != key or digest_of(record.key) != key:
        raise ArtifactError(f"{path}: records another key than its place; run its stage again")
    if artifact.digest != digest_of(sums):
        raise ArtifactError(f"{path}: digest does not match its files; run its stage again")
    for name, file in record.files.items():
        _check_file(folder, name, file)
    return record


def _check_file(folder: Path, name: str, file: FileRecord) -> None:
    check_file_name(name)
    path = folder / name
    if path.is_symlink() or not path.is_file():
        raise ArtifactError(f"{path}: missing; run its stage again")
    size = path.stat().st_size
    if size != file.size:
        raise ArtifactError(f"{path}: has {size} bytes, was {file.size}; run its stage again")


def check_bytes(folder: Path, record: Record) -> None:
    """Hash every file anew. Raises ArtifactError naming a damaged or foreign file."""
    for name, file in record.files.items():
        if file_digest(folder / name, fresh=True) != file.sha256:
            raise ArtifactError(f"{folder / name}: content has changed; run its stage again")
    foreign = sorted(set(tree_files(folder)) - set(record.files) - {RECORD})
    if foreign:
        raise ArtifactError(f"{folder / foreign[0]}: not part of the artifact; remove it")
