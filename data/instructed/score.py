"""`python -m data.instructed.score PROMPTS ANSWERS`: how many instructions answers follow.

PROMPTS has the columns prompt, instruction_id_list and kwargs; ANSWERS prompt and response.
Both are JSON Lines, plain or gzipped, as IFEval's own files are. ANSWERS may also be the table that
`tsalign compare` writes, of two policies: then the gain has a paired 95 % interval over prompts.
"""

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from data.errors import InputError, TsAlignError
from data.instructed.accuracy import Checked, accuracy
from data.instructed.checkers import followed
from data.readers.rows import read_rows
from data.summary import Followed

_ASKED = {"prompt": str, "instruction_id_list": list, "kwargs": list}


def main(prompts: Path, answers: Path) -> None:
    """Strict accuracy per instruction and per prompt, and by kind, on standard output.

    Raises:
        InputError: a file cannot be read, or the checkers are not installed.
    """
    given = _rows(answers, {"prompt": str, "response": str})
    known = {row["prompt"]: row["response"] for row in given}
    of_kind: dict[str, list[bool]] = defaultdict(list)
    counts: Counter[str] = Counter()
    for row in _rows(prompts, _ASKED):
        if row["prompt"] not in known:
            counts["without an answer"] += 1
            continue
        kinds = row["instruction_id_list"]
        found = followed(row["prompt"], known[row["prompt"]], kinds, row["kwargs"])
        counts["prompts"] += 1
        counts["whole"] += all(found)
        counts["left out"] += found.count(None)
        for kind, one in zip(kinds, found, strict=True):
            if one is not None:
                of_kind[kind].append(one)
    every = [one for found in of_kind.values() for one in found]
    lines = [
        f"per prompt       {_share(counts['whole'], counts['prompts'])}",
        f"per instruction  {_share(sum(every), len(every))}",
        *(f"  {kind:<44} {_share(sum(x), len(x))}" for kind, x in sorted(of_kind.items())),
        f"left out: {counts['left out']} instructions without a checker, "
        f"{counts['without an answer']} prompts without an answer",
    ]
    sys.stdout.writelines(f"{line}\n" for line in lines)


def compared(prompts: Path, table: Path) -> None:
    """A Markdown table of both policies' accuracies, on standard output.

    Raises:
        InputError: a file cannot be read or has no such columns, none of its prompts has an
            instruction that can be checked, or the checkers are not installed.
    """
    known = {row["prompt"]: row for row in _rows(prompts, _ASKED)}
    try:
        answers = pq.read_table(table, columns=["prompt_id", "messages", "a_answer", "b_answer"])
    except (OSError, ValueError) as error:
        raise InputError(f"{table}: no table of `tsalign compare` ({error})") from error
    checked = []
    for row in answers.to_pylist():
        asked = known.get(row["messages"][-1]["content"])
        if asked is None:
            continue
        kinds, text = asked["instruction_id_list"], asked["prompt"]
        a, b = (followed(text, row[f"{x}_answer"], kinds, asked["kwargs"]) for x in "ab")
        checked += [Checked(row["prompt_id"], "all", *one) for one in zip(kinds, a, b, strict=True)]
    found = accuracy(checked)
    if found is None:
        raise InputError(f"{table}: no prompt of it with an instruction is in {prompts}")
    lines = [
        "| | n | first | second | gain, points, 95 % interval |",
        "|---|---|---|---|---|",
        _compared("per instruction", found.per_instruction),
        _compared("per prompt", found.per_prompt),
        *(_compared(kind, one) for kind, one in found.by_kind.items()),
    ]
    sys.stdout.writelines(f"{line}\n" for line in lines)


def _rows(path: Path, columns: Mapping[str, type]) -> Iterator[dict[str, Any]]:
    """Rows of a file that have these columns, of these types. Raises InputError."""
    for place, row in read_rows(str(path)):
        for name, kind in columns.items():
            if not isinstance(row.get(name), kind):
                wanted = "a text" if kind is str else "a list"
                raise InputError(f"{place}: has no '{name}' that is {wanted}; name another file")
        yield row


def _compared(name: str, one: Followed) -> str:
    low, high = (100 * end for end in one.ci95)
    gain = f"{100 * one.difference:+.1f} ({low:.1f} to {high:.1f})"
    return f"| {name} | {one.n} | {one.base:.1%} | {one.policy:.1%} | {gain} |"


def _share(n: int, of: int) -> str:
    return f"{n / of:7.2%}  {n:4} of {of}" if of else "–"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m data.instructed.score")
    parser.add_argument("prompts", type=Path, help="prompt, instruction_id_list, kwargs")
    parser.add_argument("answers", type=Path, help="prompt, response; or *.parquet")
    given = parser.parse_args()
    try:
        two = given.answers.suffix == ".parquet"
        (compared if two else main)(given.prompts, given.answers)
    except TsAlignError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
