"""Images with their classes and domains: rows of a Parquet file, a folder of domains and classes,
or a folder with prompts whose messages hold images.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from data.errors import InputError
from data.files import check_regular
from data.image_schemas import IMAGE_PROMPTS
from data.images import problem
from data.readers.messages import check_text
from data.readers.parts import Shown, of_image, of_messages
from data.readers.rows import format_of, read_rows

PROMPTS = "prompts.jsonl"  # in a folder: rows of messages, domain and label
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".ppm", ".tif", ".tiff")
_BYTES = ("image", "jpeg", "png", "bytes")  # columns that hold an image; the first that is there
_AT_A_TIME = 256  # rows of Parquet
Broken = Literal["refuse", "drop"]


class Row(NamedTuple):
    """An image, and where it stands."""

    place: str
    shown: Shown
    domain: str
    label: str


def read_images(
    path: str | Path, split: str | None = None, broken: Broken = "refuse", whole: bool = True
) -> tuple[pa.Table, dict[str, int]]:
    """IMAGE_PROMPTS of a file or folder, each prompt once, by domain, class and id.

    Counts: rows = kept + repeated + broken; other_split is none of them. An image that is there
    twice counts once, with its first class and domain.

    Args:
        whole: Every image is decoded; else what is damaged behind its head is not seen.

    Raises:
        InputError: a row or the place does not do, an image is broken and `broken` says "refuse",
            or there is none.
    """
    counts = dict.fromkeys(("rows", "repeated", "broken", "other_split"), 0)
    found: dict[str, dict[str, Any]] = {}
    for row in _rows(Path(path), split, counts):
        counts["rows"] += 1
        if wrong := problem(row.shown.image, whole):
            if broken == "refuse":
                raise InputError(
                    f"{row.place}: {wrong}; replace it, or count and drop such images with "
                    "broken: drop"
                )
            counts["broken"] += 1
            continue
        key = row.shown.prompt_id
        if key in found:
            counts["repeated"] += 1
            continue
        found[key] = {
            "prompt_id": key,
            "messages": row.shown.messages,
            "dataset": row.domain,
            "label": row.label,
            "image": row.shown.image,
        }
    if not found:
        of = f" of the split {split!r}" if split else ""
        raise InputError(f"{path}: holds no image{of}; name a file or folder that does")
    rows = sorted(found.values(), key=lambda one: (one["dataset"], one["label"], one["prompt_id"]))
    return pa.Table.from_pylist(rows, IMAGE_PROMPTS), counts | {"kept": len(rows)}


def _rows(path: Path, split: str | None, counts: dict[str, int]) -> Iterator[Row]:
    if not path.is_dir():
        check_regular(path)
        if format_of(path) != ".parquet":
            raise InputError(f"{path}: must be a Parquet file or a folder of images")
        yield from _of_parquet(path, split, counts)
    elif (path / PROMPTS).is_file():
        yield from _of_prompts(path, split, counts)
    elif split is not None:
        raise InputError(f"{path}: a folder of images has no splits; leave split out")
    else:
        yield from _of_folder(path)


def _of_parquet(path: Path, split: str | None, counts: dict[str, int]) -> Iterator[Row]:
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            column = next((one for one in _BYTES if one in names), None)
            if column is None:
                raise InputError(f"{path}: has no column of images; call it image")
            used = [one for one in ("domain", "label", "split") if one in names]
            number = 0
            for batch in file.iter_batches(_AT_A_TIME, columns=[column, *used], use_threads=False):
                for row in batch.to_pylist():
                    number += 1
                    place = f"{path} row {number}"
                    if _is_of(row, split, place, counts):
                        image = _image_in(row[column], place)
                        yield Row(place, of_image(image), *_domain_and_label(row, place))
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        reason = str(error).strip().splitlines()[0][:120]
        raise InputError(f"{path}: not a readable Parquet file ({reason})") from error


def _of_prompts(folder: Path, split: str | None, counts: dict[str, int]) -> Iterator[Row]:
    for place, row in read_rows(folder / PROMPTS):
        if _is_of(row, split, place, counts):
            shown = of_messages(row.get("messages"), place, folder)
            yield Row(place, shown, *_domain_and_label(row, place))


def _of_folder(folder: Path) -> Iterator[Row]:
    """DOMAIN/CLASS/FILE, as DomainBed's data sets lie."""
    files = sorted(one for one in folder.glob("*/*/*") if one.suffix.lower() in SUFFIXES)
    for file in files:
        check_regular(file)
        yield Row(str(file), of_image(file.read_bytes()), file.parts[-3], file.parts[-2])


def _is_of(row: dict[str, Any], split: str | None, place: str, counts: dict[str, int]) -> bool:
    """Whether a row is of the split that is asked for. Raises InputError where rows have none."""
    if split is None:
        return True
    if "split" not in row:
        raise InputError(f"{place}: has no column split; leave split out, or name another file")
    counts["other_split"] += row["split"] != split
    return bool(row["split"] == split)


def _image_in(value: Any, place: str) -> bytes:
    """The bytes of a cell, which `datasets` puts beside a path."""
    image = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(image, bytes):
        raise InputError(f"{place}: the column of images holds no bytes; save the images in it")
    return image


def _domain_and_label(row: dict[str, Any], place: str) -> tuple[str, str]:
    domain = row.get("domain", row.get("dataset"))
    return check_text(domain, place, "domain"), check_text(row.get("label"), place, "label")
