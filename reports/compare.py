"""Compare: the HTML page of two runs side by side, from their summaries and stored evaluations.

Loads neither torch nor Prefect.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from data.durations import duration
from data.errors import ArtifactError
from data.measures import Measure, RoundValue
from data.statistics import dataset_mean, outcome, win_rate
from data.store.store import Store
from data.summary import Summary, write_text
from reports import text
from reports.answers import sample_groups
from reports.drawing import SMALL, curve, has_course
from reports.page import environment
from reports.report import headline_answers

Row = dict[str, Any]


class Paired(NamedTuple):
    """Two final policies on the prompts that both answered; `None` where nothing can be said."""

    notes: list[str]  # what a reader must know before believing the rest
    rows: list[Row]  # EVALUATION rows with A's answers in place of the base's, and messages
    head_to_head: dict[str, Any] | None  # `stats.win_rate` of B over A
    scores: dict[str, Any] | None  # `stats.dataset_mean` of B's score less A's


def write_comparison(a: Summary, b: Summary, store: Store, out: Path) -> None:
    """Write the page. What is not in the store any more is left out, and said to be."""
    write_text(out, comparison_text(a, b, store))


def comparison_text(a: Summary, b: Summary, store: Store) -> str:
    """The page of two runs, as `write_comparison` writes it."""
    answers = []
    for summary in (a, b):
        rows: list[Row] = []
        with suppress(ArtifactError):
            rows = headline_answers(summary, store)
        answers.append(rows)
    return comparison_html(a, b, answers[0], answers[1])


def comparison_html(a: Summary, b: Summary, a_rows: Sequence[Row], b_rows: Sequence[Row]) -> str:
    """The page of two runs.

    Args:
        a_rows, b_rows: Rows of `headline_answers`; empty where there are none.
    """
    runs, labels = (a, b), ("A", "B")
    paired = compare_policies(a, b, a_rows, b_rows)
    results = [text.of_headline(run) for run in runs]
    course = a.headline == b.headline and any(has_course(one) for one in results)
    sums = [(name, one) for name, one in _known(a, b).items() if one.adds_up]
    page = environment().get_template("report_compare.html.j2")
    return page.render(
        runs=runs,
        labels=labels,
        done=[text.rounds_done(run) for run in runs],
        results=results,
        headlines=[text.headline(run) for run in runs],
        changed=differences(a.config, b.config),
        machines=[
            one
            for one in differences(a.machine | a.versions, b.machine | b.versions)
            if "–" not in one  # an earlier version did not record it
        ],
        curve=curve(a.headline, _sides(a, b, labels, a.headline)) if course else "",
        measures=measure_rows(a, b),
        rounds=round_rows(a, b),
        datasets=dataset_rows(a, b, paired),
        paired=paired,
        groups=sample_groups(paired.rows) if paired.head_to_head else [],
        totals_rows=total_rows(a, b),
        abouts=[f"{text.column(x, n).capitalize()}: {x.about}" for n, x in sums if x.about],
        charts=charts(a, b, labels),
        warned=[run.warnings for run in runs],
    )


def _sides(a: Summary, b: Summary, labels: Sequence[str], name: str) -> dict[str, Measure | None]:
    return {label: run.measures.get(name) for label, run in zip(labels, (a, b), strict=True)}


def _known(a: Summary, b: Summary) -> dict[str, Measure]:
    """Every measure that one of the runs has, A's first."""
    return dict(a.measures) | {n: x for n, x in b.measures.items() if n not in a.measures}


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(dotted field, value in A, value in B) of the fields that differ; "–" where one has none."""
    left, right = _flat(a), _flat(b)
    return [
        (name, left.get(name, "–"), right.get(name, "–"))
        for name in [*left, *(name for name in right if name not in left)]
        if name != "run" and left.get(name) != right.get(name)
    ]


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = str(value)
    return found


def compare_policies(
    a: Summary, b: Summary, a_rows: Sequence[Row], b_rows: Sequence[Row]
) -> Paired:
    """The final policies of both runs on the prompts that both answered, joined by prompt."""
    finals = [text.of_headline(run) for run in (a, b)]
    if not all(final and final.kept for final in finals):
        return Paired(["A run without an adopted policy has nothing to pair."], [], None, None)
    if not all(_judged(final) for final in finals):
        return Paired(["The results are no answers that can be set side by side."], [], None, None)
    if not (a_rows and b_rows):
        return Paired(["An evaluation is no longer in this store."], [], None, None)
    mine = {row["prompt_id"]: row for row in a_rows}
    shared = [(mine[y["prompt_id"]], y) for y in b_rows if y["prompt_id"] in mine]
    both = [(x, y) for x, y in shared if x["messages"] == y["messages"]]
    if not both:
        return Paired(["The runs were evaluated on different prompts."], [], None, None)
    notes = _notes(a, b, (len(both), len(a_rows), len(b_rows)))
    if any(x["base_completion"] != y["base_completion"] for x, y in both):
        notes.append(
            "The base policies answer differently, so the win rates over the base have different "
            "yardsticks."
        )
    if _judge(a) != _judge(b):
        notes.append(
            "The judges differ, so the scores cannot be set against each other; only the win rates "
            "over the base are shown, each by its own judge."
        )
        return Paired(notes, [], None, None)
    if all(row["policy_score"] is None for pair in both for row in pair):
        notes.append(
            "The judge compares two answers and gives no scores, so these policies are not set "
            "against each other; only the win rates over the base are shown."
        )
        return Paired(notes, [], None, None)
    rows = [_row(x, y) for x, y in both]
    rates = win_rate([row["outcome"] for row in rows], [row["dataset"] for row in rows])
    known = [row for row in rows if None not in (row["base_score"], row["policy_score"])]
    scores = None
    if known:
        gains = [row["policy_score"] - row["base_score"] for row in known]
        scores = dataset_mean(gains, [row["dataset"] for row in known])
    return Paired(notes, rows, rates, scores)


def _notes(a: Summary, b: Summary, counts: tuple[int, int, int]) -> list[str]:
    both, in_a, in_b = counts
    notes = []
    if not both == in_a == in_b:
        notes.append(
            f"Of {in_a:,} and {in_b:,} prompts evaluated, {both:,} are the same; only these are "
            "paired."
        )
    decoding = [run.config.get("evaluate", {}).get("temperature") for run in (a, b)]
    if decoding[0] != decoding[1]:
        notes.append("The answers were sampled at different temperatures.")
    return notes


def _row(x: Row, y: Row) -> Row:
    """An EVALUATION row in which A's final policy stands where the base does."""
    return {
        "prompt_id": y["prompt_id"],
        "dataset": y["dataset"],
        "messages": y["messages"],
        "base_completion": x["policy_completion"],
        "policy_completion": y["policy_completion"],
        "base_score": x["policy_score"],
        "policy_score": y["policy_score"],
        "outcome": outcome(x["policy_score"], y["policy_score"]),
    }


def _judged(measure: Measure | None) -> bool:
    """Whether a result rests on answers that somebody has judged."""
    return measure is not None and any(one.evidence for one in measure.rounds)


def _judge(summary: Summary) -> tuple[str, str]:
    """Who scored the answers; a teacher is known by its content, else by the recipe."""
    final = text.of_headline(summary)
    if final is None or final.judge != "teacher":
        return (final.judge if final else "", "")
    made = [record.artifact for record in summary.bootstrap if record.kind == "teacher"]
    return "teacher", made[0] if made else str(summary.config.get("teacher", {}).get("model"))


def measure_rows(a: Summary, b: Summary) -> list[tuple[str, str, list[Measure | None]]]:
    """(what, unit, in A and in B) of every measure that is no sum."""
    return [
        (text.title(one, name), one.unit, [run.measures.get(name) for run in (a, b)])
        for name, one in _known(a, b).items()
        if not one.adds_up
    ]


class Rounds(NamedTuple):
    """What is better or worse round by round, in both runs."""

    columns: list[tuple[str, str]]  # title and unit
    rows: list[tuple[int, list[list[RoundValue | None]]]]  # per measure, of A and of B


def round_rows(a: Summary, b: Summary) -> Rounds:
    """Rounds of A and B with the same number side by side; None where one run has none."""
    has = [{n for n, x in run.measures.items() if x.better and x.rounds} for run in (a, b)]
    shown = {n: x for n, x in _known(a, b).items() if n in has[0] | has[1]}
    curves = [
        [
            {one.round: one for one in (measure.rounds if measure else [])}
            for measure in _sides(a, b, ("A", "B"), name).values()
        ]
        for name in shown
    ]
    numbers = sorted({number for pair in curves for side in pair for number in side})
    return Rounds(
        [(text.column(one, name), one.unit) for name, one in shown.items()],
        [(n, [[side.get(n) for side in pair] for pair in curves]) for n in numbers],
    )


def charts(a: Summary, b: Summary, labels: Sequence[str]) -> list[dict[str, Any]]:
    """Small charts of what is neither better nor worse, nor a sum, round by round."""
    found = [
        {"title": text.title(one, name), "svg": curve(name, _sides(a, b, labels, name), SMALL)}
        for name, one in _known(a, b).items()
        if not (one.better or one.adds_up)
    ]
    return [one for one in found if one["svg"]]


def dataset_rows(a: Summary, b: Summary, paired: Paired) -> list[dict[str, Any]]:
    """Per data set the results of A and B over their base, and of B over A where paired."""
    finals = [text.of_headline(run) for run in (a, b)]
    parts = [final.parts if final and a.headline == b.headline else {} for final in finals]
    nothing: dict[str, Any] = {"by_dataset": {}}
    against = (paired.head_to_head or nothing)["by_dataset"]
    scores = (paired.scores or nothing)["by_dataset"]
    names = sorted(parts[0].keys() | parts[1].keys() | against.keys())
    return [
        {
            "name": name,
            "sides": [part.get(name) for part in parts],
            "against": against.get(name),
            "score": scores.get(name),
        }
        for name in names
    ]


def total_rows(a: Summary, b: Summary) -> list[tuple[str, str, str]]:
    """(what, in A, in B): the measures that add up, and what the runs cost in time."""
    rows = []
    for name, one in _known(a, b).items():
        if one.adds_up:
            sides = [run.measures.get(name) for run in (a, b)]
            left, right = (text.written(x.value if x else None, one.unit) for x in sides)
            rows.append((text.title(one, name), left, right))
    seconds = {
        "time, all computed": "computed_seconds",
        "time, last invocation": "seconds",
        "saved by reuse": "saved_seconds",
    }
    return rows + [
        (title, duration(_sum(a, field)), duration(_sum(b, field)))
        for title, field in seconds.items()
    ]


def _sum(run: Summary, name: str) -> float:
    return float(sum(getattr(record, name) for record in run.stages()))
