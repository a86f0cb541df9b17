"""What the cells of a model matrix give, looked at before a run."""

from collections.abc import Sequence

from data.errors import InputError
from data.matrix import CellPair, cell_pairs
from data.readers.logged_formats import LoggedCompletion
from data.readers.recorded_cells import read_answers
from data.readers.seen import Prompt
from data.recipes.methods import Matrix, Place
from flows.preflight.prompts import expanded

Answers = dict[str, dict[str, LoggedCompletion]]  # by cell and prompt id


def check_cells(
    first: Sequence[Place], cells: Sequence[Place], matrix: Matrix
) -> tuple[list[CellPair], Answers]:
    """The pairs of cells of the first round, and the recorded answers of all, whose files are read.

    Args:
        first: The cells that there are in the first round.

    Raises:
        InputError: no cell beats another, or a file cannot be read.
    """
    pairs = cell_pairs(first, matrix)
    if not pairs:
        raise InputError(
            "matrix.cells: no cell of the first round beats another as matrix.positives and "
            "matrix.axes ask; compare cells of one family, of different version or scale"
        )
    recorded = {cell: path for cell in cells if (path := getattr(cell, "path", None))}
    return pairs, {
        cell.name: read_answers(expanded(path, cell.called)) for cell, path in recorded.items()
    }


def recorded_prompts(pairs: list[CellPair], answers: Answers) -> list[Prompt]:
    """What the cells have answered. Raises InputError where no prompt can make a pair."""
    if not any(answers[a.name].keys() & answers[b.name].keys() for a, b, _ in pairs):
        raise InputError("matrix.cells: no two cells that make a pair answer the same prompt")
    kinds = {key: row for rows in answers.values() for key, row in rows.items()}
    return [Prompt(row.place, row.messages) for row in kinds.values()]
