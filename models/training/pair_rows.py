"""The rows of a training on pairs: tokens of prompt and answers, and where their targets are."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from data.errors import CardinalityError
from data.schemas import TARGETS
from data.table_file import TableFile
from data.tables import as_sampled
from models.batching import Row
from models.chat import Tokenizer, token_ids
from models.training.kept_targets import KeptTargets

NONE = -1  # in place of the row of a table
SIDES = {"chosen": "chosen", "other": "rejected"}  # of a row, and as PREFERENCES have it


class TargetTables:
    """TARGETS in some files, rows numbered through all of them."""

    def __init__(self, paths: Sequence[Path | str]) -> None:
        """Raises ArtifactError."""
        self._files = [TableFile(path, TARGETS) for path in paths]
        self.tokens = KeptTargets(self._files)

    def __len__(self) -> int:
        """How many tables there are."""
        return len(self._files)

    def names(self, table: int) -> list[str]:
        """completion_id of every row of a table."""
        found: list[str] = self._files[table].column("completion_id").to_pylist()
        return found

    def places(self) -> list[dict[str, int]]:
        """Of every table the number of each completion's row."""
        found, first = [], 0
        for table in range(len(self)):
            names = self.names(table)
            found.append({name: first + row for row, name in enumerate(names)})
            first += len(names)
        return found


def both_sides(
    tokenizer: Tokenizer, preferences: pa.Table, targets: TargetTables, others: TargetTables
) -> list[Row | None]:
    """DCKD's rows, None for a pair with an answer that the teacher could not read.

    Of one table of targets the chosen answers alone are learned, of none these by their text.
    Answers are learned as the tokens that the teacher has read. Raises CardinalityError.
    """
    ids = {side: preferences[f"{name}_id"].to_pylist() for side, name in SIDES.items()}
    read = dict(zip(SIDES, targets.places(), strict=False))
    found: list[Row | None] = []
    for number, row in enumerate(_prompts_and_chosen(tokenizer, preferences)):
        for side, known in read.items():
            place = _place(known, ids[side][number])
            row |= {f"{side}_ids": targets.tokens.tokens(place), f"{side}_row": place}
        whole = all(row[f"{side}_ids"] for side in read)
        found.append(row if whole else None)
    return found


def own_answers(
    tokenizer: Tokenizer, preferences: pa.Table, targets: TargetTables, references: TargetTables
) -> list[Row | None]:
    """ADPA's rows: each pair with each of the student's answers to its prompt; None where one of
    the two teachers could not read the answer. Raises CardinalityError."""
    if len(references) and references.names(0) != targets.names(0):
        raise CardinalityError("targets: aligned teacher and reference have read other answers")
    by_prompt: dict[str, list[int]] = defaultdict(list)
    for number, owner in enumerate(targets.tokens.owners):
        by_prompt[owner].append(number)
    prompts = preferences["prompt_id"].to_pylist()
    found: list[Row | None] = []
    for prompt, pair in zip(prompts, _prompts_and_chosen(tokenizer, preferences), strict=True):
        for number in by_prompt[prompt]:
            answer = targets.tokens.tokens(number)
            unread = not answer or (len(references) and references.tokens.tokens(number) != answer)
            found.append(None if unread else pair | {"other_ids": answer, "other_row": number})
    return found


def fitting(found: Sequence[Row | None], limit: int) -> tuple[list[Row], dict[str, int]]:
    """The rows that are read whole by teacher and policy, and how many are not."""
    read = [row for row in found if row is not None]
    rows = [row for row in read if longest(row) <= limit]
    return rows, {"unread": len(found) - len(read), "too_long": len(read) - len(rows)}


def longest(row: Row) -> int:
    """Tokens of the prompt with the longer of both answers."""
    return len(row["prompt_ids"]) + max(len(row["chosen_ids"]), len(row["other_ids"]))


def _prompts_and_chosen(tokenizer: Tokenizer, preferences: pa.Table) -> list[Row]:
    """Every pair with the tokens of its chosen answer, without another and without targets."""
    columns = (preferences[name].to_pylist() for name in ("pair_id", "messages"))
    answers = as_sampled(preferences, "chosen", "chosen_token_ids")
    found = []
    for pair, messages, answer in zip(*columns, answers, strict=True):
        prompt, chosen = token_ids(tokenizer, messages, answer)
        row: Row = {"pair_id": pair, "prompt_ids": prompt, "chosen_ids": chosen}
        found.append(row | {"chosen_row": NONE, "other_ids": [], "other_row": NONE})
    return found


def _place(known: Mapping[str, int], name: str) -> int:
    if name not in known:
        raise CardinalityError(f"targets: there are none of the answer {name!r}")
    return known[name]
