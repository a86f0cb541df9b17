"""`python -m data.instructed.score PROMPTS ANSWERS`: how many instructions answers follow.

PROMPTS has the columns prompt, instruction_id_list and kwargs; ANSWERS prompt and response.
Both are JSON Lines, plain or gzipped, as IFEval's own files are.
"""

import argparse
import sys
from collections import Counter, defaultdict
from pathlib import Path

from data.errors import TsAlignError
from data.instructed.checkers import followed
from data.readers.rows import read_rows


def main(prompts: Path, answers: Path) -> None:
    """Strict accuracy per instruction and per prompt, and by kind, on standard output.

    Raises:
        InputError: a file cannot be read, or the checkers are not installed.
    """
    known = {row["prompt"]: row["response"] for _, row in read_rows(str(answers))}
    of_kind: dict[str, list[bool]] = defaultdict(list)
    counts: Counter[str] = Counter()
    for _, row in read_rows(str(prompts)):
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


def _share(n: int, of: int) -> str:
    return f"{n / of:7.2%}  {n:4} of {of}" if of else "–"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m data.instructed.score")
    parser.add_argument("prompts", type=Path, help="prompt, instruction_id_list, kwargs")
    parser.add_argument("answers", type=Path, help="prompt, response")
    given = parser.parse_args()
    try:
        main(given.prompts, given.answers)
    except TsAlignError as error:
        sys.exit(f"error: {error}")
