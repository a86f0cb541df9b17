"""What an AuroBind recipe needs and reads, looked at before a run."""

from collections import Counter
from importlib.util import find_spec

from data.errors import InputError
from data.readers.activities import activities_path, check_sequences, read_activities
from data.readers.seen import Counted
from data.recipes.fitness import SYNTHETIC, ActivitiesConfig, ListsConfig

_FEWEST = 20  # activities: fewer leave nothing to hold out


def check_installed(ranker: bool) -> None:
    """InputError unless RDKit, and LightGBM where it is to rank, are there; none is imported."""
    needed = {"rdkit": "RDKit"} | ({"lightgbm": "LightGBM"} if ranker else {})
    for module, name in needed.items():
        if find_spec(module) is None:
            other = ", or set ranker=null" if module == "lightgbm" else ""
            raise InputError(
                f"recipe: aurobind needs {name}, which is not installed; "
                f"`pip install 'tsalign[chem]'`{other}"
            )


def check(activities: ActivitiesConfig, lists: ListsConfig, ranker: bool) -> None:
    """Raises InputError where a library is missing, or a table will not do."""
    check_installed(ranker)
    counted(activities, lists)


def counted(activities: ActivitiesConfig, lists: ListsConfig) -> Counted:
    """How many activities there are. Raises InputError for tables that cannot be read.

    Compounds are not read here: RDKit takes ten seconds for forty thousand.
    """
    if activities.path == SYNTHETIC:
        made = activities.synthetic
        _check_size(lists.size, made.molecules)
        return Counted(parts={"activities, at most": made.molecules * made.targets})
    path = activities_path("activities.path", activities.path)
    targets = Counter(one.target for one in read_activities(path, activities.read_as))
    rows = targets.total()
    if rows < _FEWEST:
        raise InputError(
            f"activities.path: '{activities.path}' holds {rows} activities; bring {_FEWEST} at "
            "least, so that some can be held out"
        )
    _check_size(lists.size, max(targets.values()))
    if activities.sequences:
        check_sequences(activities.sequences, sorted(targets))
    return Counted(
        parts={"activities": rows, "targets": len(targets)}, rows={"activities.path": rows}
    )


def _check_size(size: int, most: int) -> None:
    """InputError for lists that are longer than what any target has."""
    if size > most:
        raise InputError(
            f"lists.size: {size:,} compounds of one target in a list, and none has more than "
            f"{most:,}; lower it"
        )
