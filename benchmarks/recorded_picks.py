"""Whose best answer does the recorded judge prefer: reward models' picks, or the longest answer?

    python -m benchmarks.recorded_picks ../shared/realdata/rewardbench_bon16

Over all prompts, nothing is trained. A scorer's pick is set against the prompt's other judged
answers that the judge tells apart from it by more than 0.05; 0.5 is a pick at random. The recorded
models picked of 16 answers, of which 11 are judged: where the pick is one of these it is also their
best of the 11. The other prompts are left out, for the longest answer in the last column too.
"""

import argparse
import sys
from typing import Any

from data.readers.logged import judged_only, longer_answer_scores, read_logged, read_picks
from data.readers.logged_pairs import best_of, judged_pairs, of_equal_length, preferred
from data.recipes.logged import LoggedConfig
from data.tables import mapping

MIN_MARGIN = 0.05  # as in recipes/logged.yaml


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="rewardbench_bon16, with samples, judged and rm_picks")
    folder = parser.parse_args().folder
    config = LoggedConfig(
        format="alpaca_eval",
        completions=f"{folder}/samples",
        judgments=f"{folder}/judged",
        picks=f"{folder}/rm_picks",
    )
    logs = read_logged(config)
    candidates, _ = judged_only(logs.completions, logs.judgments)
    pairs = judged_pairs(candidates, logs.judgments, MIN_MARGIN)
    equal = of_equal_length(pairs)
    lengths = mapping(longer_answer_scores(candidates), "completion_id", "reward")
    longest = best_of(candidates, lengths)
    judged = set(candidates["completion_id"].to_pylist())
    found: dict[str, dict[str, str]] = {"longest answer": longest}
    for row in read_picks(config, logs.completions)[0].to_pylist():
        if row["completion_id"] in judged:
            found.setdefault(row["picker"], {})[row["prompt_id"]] = row["completion_id"]
    sys.stdout.write("| scorer | prompts | all pairs | equal length | longest, same prompts |\n")
    sys.stdout.write("|---|---|---|---|---|\n")
    for name, picks in found.items():
        same = preferred(pairs, {key: longest[key] for key in picks})
        cells = [_cell(preferred(table, picks)) for table in (pairs, equal)]
        row = f"| {name} | {len(picks)} | {' | '.join(cells)} | {same['agreement']:.1%} |"
        sys.stdout.write(row + "\n")


def _cell(found: dict[str, Any]) -> str:
    low, high = found["ci95"]
    return f"{found['agreement']:.1%} [{low:.1%} to {high:.1%}], {found['pairs']:,} pairs"


if __name__ == "__main__":
    main()
