"""Activity tables: files of compounds, targets and how strongly they bind. No RDKit here.

MoleculeACE's tables (van Tilborg et al. 2022) are found in its installed package without importing
it, for it imports what nobody here needs.
"""

import math
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from data.activities import RESIDUES
from data.errors import InputError
from data.files import check_regular
from data.paths import anchored, named_path
from data.readers.rows import SUFFIXES, format_of, read_rows
from data.recipes.fitness import MOLECULE_ACE, ActivityColumns, Unit
from data.store.digests import digest_of, file_digest

_PACKAGE, _FOLDER = "MoleculeACE", "MoleculeACE/Data/benchmark_data"
_RANGE = (-2.0, 16.0)  # of pXC50: beyond it a unit was mistaken
_UNITS = {"pxc50": "pXC50", "nm": "nmol/l", "minus_log10_nm": "-log10 of nmol/l"}


class Measured(NamedTuple):
    """A row of an activity table."""

    place: str
    target: str
    group: str
    smiles: str
    pxc50: float
    cliff: bool | None  # None: the table does not say


def activities_path(field: str, name: str) -> Path:
    """The file or folder that a recipe's `field` names. Raises InputError where it is not there."""
    if name == MOLECULE_ACE:
        return molecule_ace(field)
    path = anchored(named_path(name, field))
    if not path.is_dir():
        check_regular(path, field)
    elif not activity_files(path):
        raise InputError(f"{field}: '{name}' holds no {', '.join(SUFFIXES)} file; name another")
    return path


def molecule_ace(field: str) -> Path:
    """The folder of its tables. Raises InputError where the package is not installed."""
    try:
        root = metadata.distribution(_PACKAGE).locate_file(_FOLDER)
    except metadata.PackageNotFoundError:
        root = None
    if root is None or not Path(str(root)).is_dir():
        raise InputError(
            f"{field}: the package MoleculeACE is not installed; "
            "`pip install --no-deps MoleculeACE==3.0.0`, or name your own tables"
        )
    return Path(str(root)).resolve()


def activity_files(path: Path) -> list[Path]:
    """The tables of a file or folder, in order."""
    if not path.is_dir():
        return [path]
    return sorted(one for one in path.iterdir() if one.is_file() and format_of(one) in SUFFIXES)


def activities_digest(path: Path) -> str:
    """Of the names and bytes of its tables, and of nothing that lies beside them."""
    return digest_of({one.name: file_digest(one) for one in activity_files(path)})


def read_activities(path: Path, columns: ActivityColumns) -> Iterator[Measured]:
    """Every row of the tables. Raises InputError, with its place, for one that is none."""
    wanted = [getattr(columns, name) for name in ("smiles", "target", "value", "cliff", "group")]
    for file in activity_files(path):
        stem = file.name.split(".")[0]
        for place, row in read_rows(file, wanted):
            target = _text(row, columns.target, place) if columns.target in row else stem
            group = _text(row, columns.group, place) if columns.group in row else target
            smiles = _text(row, columns.smiles, place)
            value = to_pxc50(_number(row, columns.value, place), columns.unit, place)
            yield Measured(place, target, group, smiles, value, _cliff(row, columns.cliff, place))


def to_pxc50(value: float, unit: Unit, place: str) -> float:
    """-log10 of mol/l. Raises InputError for what cannot be in this unit."""
    if unit == "nm" and value <= 0:
        raise InputError(f"{place}: {value:g} nmol/l is no concentration; it must be above 0")
    found = {"pxc50": value, "minus_log10_nm": value + 9}.get(unit)
    found = 9 - math.log10(value) if found is None else found
    if not _RANGE[0] <= found <= _RANGE[1]:
        raise InputError(
            f"{place}: {value:g} as {_UNITS[unit]} is a pXC50 of {found:.3g}, beyond {_RANGE[0]:g} "
            f"to {_RANGE[1]:g}; set activities.columns.unit to what the column holds"
        )
    return found


def read_sequences(path: str | Path) -> dict[str, str]:
    """Sequence by target. Raises InputError for a row without, and for two of one target."""
    found: dict[str, str] = {}
    for place, row in read_rows(path, ("target", "sequence")):
        target = _text(row, "target", place)
        if target in found:
            raise InputError(f"{place}: {target!r} has a sequence already; remove one")
        found[target] = _text(row, "sequence", place).upper()
    return found


def check_sequences(path: str | Path, targets: Sequence[str]) -> dict[str, str]:
    """Those of the targets. Raises InputError where one has none."""
    found = read_sequences(path)
    if lost := [name for name in targets if name not in found]:
        raise InputError(
            f"activities.sequences: '{path}' has none of {lost[0]!r} ({len(lost)} such targets); "
            "add them, or leave these targets out"
        )
    if blank := [name for name in targets if not set(RESIDUES) & set(found[name])]:
        raise InputError(
            f"activities.sequences: that of {blank[0]!r} holds no residue ({len(blank)} such "
            "targets); write it in letters of amino acids"
        )
    return {name: found[name] for name in targets}


def _text(row: dict[str, Any], column: str, place: str) -> str:
    value = row.get(column)
    if not isinstance(value, str) or not value.strip():
        said = "holds no text" if column in row else "is missing"
        raise InputError(f"{place}: the column {column!r} {said}; name another, or correct it")
    return value.strip()


def _number(row: dict[str, Any], column: str, place: str) -> float:
    try:
        value = float(row[column])
    except (KeyError, TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        said = "holds no number" if column in row else "is missing"
        raise InputError(
            f"{place}: the column {column!r} {said}; correct it, or set activities.columns.value"
        )
    return value


def _cliff(row: dict[str, Any], column: str, place: str) -> bool | None:
    value = row.get(column)
    if value is None or value == "":
        return None
    if str(value).lower() in ("0", "1", "0.0", "1.0", "true", "false"):
        return str(value).lower() in ("1", "1.0", "true")
    raise InputError(f"{place}: the column {column!r} must be 0 or 1, got {str(value)!r:.40}")
