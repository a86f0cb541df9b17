"""Logged completions: a folder of recorded answers and judgments in place of policy and teacher.

Many teams have outputs of their model and a judge's verdicts on them. Read here into the same
tables that generation and the teacher would have made, so that the rest of the loop is the same.
"""

import glob
import hashlib
import math
import os
from collections import defaultdict
from collections.abc import Iterable
from os.path import isdir, isfile
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from data.errors import CardinalityError, InputError
from data.paths import named_path
from data.readers.known_data import where_from
from data.readers.logged_formats import (
    LoggedCompletion,
    LoggedJudgment,
    in_natural_order,
    read_completions,
    read_judgments,
)
from data.readers.prompts import content_of, prompt_id
from data.readers.rows import SUFFIXES, format_of
from data.recipes.logged import LoggedConfig
from data.schemas import COMPLETIONS, JUDGMENTS, PICKS, PROMPTS, SCORES
from data.store.digests import digest_of, file_digest
from data.tables import completion_id, mapping


class Logged(NamedTuple):
    prompts: pa.Table  # PROMPTS
    completions: pa.Table  # COMPLETIONS; n_tokens is null, no tokenizer is known here
    judgments: pa.Table  # JUDGMENTS, for some of the completions
    counts: dict[str, int]


def read_logged(config: LoggedConfig) -> Logged:
    """Prompts, completions and judgments from recorded files; relative to the working directory.

    `sample` is a random order of a prompt's completions by `config.seed`: recorded orders mean
    something (sorted by length, by model), which must not leak into ties and cuts. The
    `completion_id` keeps the recorded number. Several judgments of one completion are averaged.
    Counts: judgments = used + unmatched + no_preference, judged <= completions.

    Raises:
        InputError: with file and line for what cannot be read; a sample that is there twice; a
            judgment of another text than the sample's; nothing judged at all.
    """
    rows = list(read_completions(config, _files(config.completions, "logged.completions")))
    if not rows:
        raise InputError("logged.completions: the files hold no rows; name files that do")
    prompts, samples = _number_samples(rows)
    files = _files(config.judgments, "logged.judgments") if config.judgments else []
    names = {row.sample for row in rows if row.sample is not None}
    judgments = list(read_judgments(config, files, names))
    rewards, counts = _match(samples, judgments, config.judge)
    if not rewards:
        raise InputError("logged.judgments: none belongs to a completion; check both paths")
    table = _completions(samples, config.seed)
    prompt_of = mapping(table, "completion_id", "prompt_id")
    judged = [
        {"completion_id": key, "prompt_id": prompt_of[key], "reward": reward, "judge": judge}
        for key, (reward, judge) in rewards.items()
    ]
    counts |= {"prompts": len(prompts), "completions": len(table), "judged": len(judged)}
    return Logged(
        pa.Table.from_pylist(prompts, schema=PROMPTS),
        table,
        pa.Table.from_pylist(judged, schema=JUDGMENTS),
        counts,
    )


def logged_digest(config: LoggedConfig) -> str:
    """Digest of every recorded file's name and bytes, for cache keys."""
    parts = {"completions": config.completions, "judgments": config.judgments or []}
    if config.picks:
        parts["picks"] = config.picks
    files = {name: _files(value, f"logged.{name}") for name, value in parts.items()}
    return digest_of(
        {name: [[path.name, file_digest(path)] for path in paths] for name, paths in files.items()}
    )


def held_out_split(prompts: pa.Table, share: float, seed: int) -> tuple[pa.Table, pa.Table]:
    """Prompts to learn from and held-out ones, `share` of every dataset, by seed.

    Datasets too small to be split, such as one for every prompt, are split together. Which half a
    prompt falls into depends on its content, its dataset and their sizes alone, not on its place:
    prompts of one content are in one half.
    """
    contents = [content_of(messages) for messages in prompts["messages"].to_pylist()]
    entries = sorted(zip(contents, prompts["dataset"].to_pylist(), strict=True), reverse=True)
    by_dataset: dict[str, list[str]] = defaultdict(list)
    for content, dataset in dict(entries).items():
        by_dataset[dataset].append(content)
    groups, rest = [], []
    for ids in by_dataset.values():
        if 0 < round(len(ids) * share) < len(ids):
            groups.append(ids)
        else:
            rest += ids
    held_out: set[str] = set()
    for ids in [*groups, rest]:
        held_out.update(_shuffled(ids, seed)[: round(len(ids) * share)])
    mask = pa.array([content in held_out for content in contents], pa.bool_())
    inverse = pa.array([not value for value in mask.to_pylist()], pa.bool_())
    return prompts.filter(inverse), prompts.filter(mask)


def judged_only(completions: pa.Table, judgments: pa.Table) -> tuple[pa.Table, int]:
    """The completions that have a judgment, the only candidates a recorded teacher can compare.

    Also the number that has none.
    """
    judged = set(judgments["completion_id"].to_pylist())
    mask = [value in judged for value in completions["completion_id"].to_pylist()]
    return completions.filter(pa.array(mask, pa.bool_())), mask.count(False)


def recorded_rewards(judgments: pa.Table, completion_ids: Iterable[str]) -> dict[str, float]:
    """The recorded teacher's reward of each completion, as a model teacher's scores would be.

    Raises CardinalityError for a completion that was never judged; see `judged_only`.
    """
    rewards = mapping(judgments, "completion_id", "reward")
    wanted = list(completion_ids)
    lost = [value for value in wanted if value not in rewards]
    if lost:
        raise CardinalityError(f"completion_id {lost[0]!r}: has no recorded judgment")
    return {value: rewards[value] for value in wanted}


def read_picks(config: LoggedConfig, completions: pa.Table) -> tuple[pa.Table, dict[str, int]]:
    """PICKS: which completion each scorer picked; its name is its file's, without the endings.

    Of completions with the same text the lowest id. Counts: picks = rows + unmatched.

    Raises:
        InputError: with file and line for what cannot be read; no pick is a completion.
    """
    by_text: dict[tuple[str, str], str] = {}
    for row in completions.sort_by("completion_id").to_pylist():
        by_text.setdefault((row["prompt_id"], row["completion"]), row["completion_id"])
    rows, picks = [], 0
    for path in _files(config.picks or [], "logged.picks"):
        name = path.name.removesuffix(".gz").rpartition(".")[0]
        for picked in read_completions(config, [path]):
            key, picks = prompt_id(picked.messages), picks + 1
            if found := by_text.get((key, picked.text)):
                rows.append({"picker": name, "prompt_id": key, "completion_id": found})
    if not rows:
        raise InputError("logged.picks: none is the text of a completion; check both paths")
    table = pa.Table.from_pylist(rows, schema=PICKS)
    return table, {"picks": picks, "unmatched": picks - len(rows)}


def longer_answer_scores(completions: pa.Table) -> pa.Table:
    """SCORES of the baseline that knows nothing but length, in characters."""
    columns = completions.select(["completion_id", "prompt_id", "completion"]).to_pylist()
    rows = [row | {"reward": float(len(row.pop("completion")))} for row in columns]
    return pa.Table.from_pylist(rows, schema=SCORES)


def _files(value: str | list[str], field: str) -> list[Path]:
    """Files behind paths, globs and folders, in natural order. Raises InputError if none."""
    found: dict[str, Path] = {}
    for name in [value] if isinstance(value, str) else value:
        path = str(named_path(name, field))
        try:
            names = [os.path.join(path, n) for n in os.listdir(path)] if isdir(path) else [path]
        except OSError as error:
            raise InputError(f"{field}: {name!r} cannot be read ({error.strerror})") from error
        if glob.has_magic(name) and not os.path.exists(path):
            names = glob.glob(path, recursive=True)
        readable = [Path(n) for n in names if isfile(n) and format_of(Path(n)) in SUFFIXES]
        if not (readable or glob.has_magic(name) or os.path.lexists(path)):
            raise InputError(
                f"{field}: {name!r} does not exist; check the path (relative to here)"
                f"{where_from(path)}"
            )
        if not readable:
            raise InputError(f"{field}: {name!r} holds no {', '.join(SUFFIXES)} file (or .gz)")
        found |= {str(p): p for p in readable}
    return [found[name] for name in in_natural_order(found)]


# prompt_id -> completions by their recorded number
Samples = dict[str, dict[int, LoggedCompletion]]


def _number_samples(rows: list[LoggedCompletion]) -> tuple[list[dict[str, Any]], Samples]:
    """PROMPTS rows in order of appearance, and each prompt's completions by number."""
    names = in_natural_order(
        {row.sample for row in rows if row.sample and not row.sample.isdigit()}
    )
    number_of = {name: number for number, name in enumerate(names)}
    prompts: dict[str, dict[str, Any]] = {}
    samples: Samples = defaultdict(dict)
    for row in rows:
        key = prompt_id(row.messages)
        prompts.setdefault(
            key, {"prompt_id": key, "messages": row.messages, "dataset": row.dataset}
        )
        taken = samples[key]
        number = len(taken) if row.sample is None else _number(row.sample, number_of)
        if number in taken:
            raise InputError(f"{row.place}: sample {row.sample or number} is there twice")
        taken[number] = row
    return list(prompts.values()), samples


def _number(sample: str, number_of: dict[str, int]) -> int:
    return number_of[sample] if sample in number_of else int(sample)


def _match(
    samples: Samples, judgments: list[LoggedJudgment], judge: str
) -> tuple[dict[str, tuple[float, str]], dict[str, int]]:
    """Mean reward and judge by completion id, and what became of the judgments."""
    found: dict[str, list[float]] = defaultdict(list)
    judges: dict[str, str] = {}
    for key, taken in samples.items():
        for number, row in taken.items():
            if row.reward is not None:
                found[completion_id(key, number)].append(row.reward)
                judges[completion_id(key, number)] = judge
    counts = dict.fromkeys(("judgments", "used", "unmatched", "no_preference"), 0)
    for judgment in judgments:
        counts["judgments"] += 1
        ids = _judged_ids(samples, judgment)
        outcome = "used"
        if judgment.reward is None:
            outcome = "no_preference"
        elif not ids:
            outcome = "unmatched"
        else:
            for value in ids:
                found[value].append(judgment.reward)
                judges[value] = judgment.judge
        counts[outcome] += 1
    means = {key: math.fsum(values) / len(values) for key, values in found.items()}
    return {key: (means[key], judges[key]) for key in means}, counts


def _judged_ids(samples: Samples, judgment: LoggedJudgment) -> list[str]:
    """Ids of the completions a judgment is about."""
    key = prompt_id(judgment.messages)
    taken = samples.get(key, {})
    if judgment.sample is None:
        return [completion_id(key, n) for n, row in taken.items() if row.text == judgment.text]
    for number, row in taken.items():
        if judgment.sample in (row.sample, str(number)):
            if judgment.text is not None and judgment.text != row.text:
                raise InputError(
                    f"{judgment.place}: judges another text than sample {judgment.sample} has "
                    f"({row.place}); use the files of one run"
                )
            return [completion_id(key, number)]
    return []


def _completions(samples: Samples, seed: int) -> pa.Table:
    rows = []
    for key, taken in samples.items():
        ids = {completion_id(key, number): row for number, row in sorted(taken.items())}
        for sample, value in enumerate(_shuffled(list(ids), seed)):
            rows.append(
                {
                    "completion_id": value,
                    "prompt_id": key,
                    "sample": sample,
                    "completion": ids[value].text,
                    "finish_reason": ids[value].finish_reason,
                    "n_tokens": None,
                }
            )
    return pa.Table.from_pylist(rows, schema=COMPLETIONS)


def _shuffled(ids: list[str], seed: int) -> list[str]:
    """A random order that depends on each id and the seed, not on the order given."""
    return sorted(ids, key=lambda value: hashlib.sha256(f"{seed}:{value}".encode()).digest())
