"""The tables and flows of the report as plain values; `report.html.j2` only arranges them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from data.errors import CardinalityError
from data.statistics import wilson
from data.summary import Ledger, Round, StageRecord, StudentSummary, Summary, check_ledger
from models.drift import distinct_2
from reports.words import Words


class Part(NamedTuple):
    name: str
    n: int
    share: float  # of its level
    kept: bool  # goes on to the next level


class Level(NamedTuple):
    """One count of the ledger and what it splits into; what is kept is the next level's count."""

    title: str
    total: int
    parts: list[Part]  # those that are not zero, and the kept one


def ledger_levels(ledger: Ledger, words: Words) -> list[Level]:
    """From asked to trained: what each level splits into."""
    x, who = ledger, words.who
    unsure = [
        ("scored too close", x.below_margin),
        ("scored equal", x.teacher_tied),
        ("judged differently when turned round", x.inconsistent),
        ("too long for " + who, x.unjudged),
    ]
    if x.kept_unsure:  # which of them is not known by kind
        unsure = [("unsure or not judged", sum(n for _, n in unsure) - x.kept_unsure)]
    levels: list[tuple[str, int, list[tuple[str, int]]]] = [
        (
            words.answers.format(asked=f"{x.asked:,}"),
            x.generated,
            [
                ("usable", x.usable),
                ("said before", x.duplicate),
                ("cut off", x.truncated),
                ("too long for " + words.reader, x.unscored),
                ("empty", x.empty),
            ],
        ),
        (
            "prompts",
            x.asked,
            [
                ("gave a pair or more", x.paired),
                ("had fewer than two usable answers", x.no_candidates),
                (words.tied, x.tied),
            ],
        ),
        (
            words.shown,
            x.mined,
            [
                ("labelled", x.labelled),
                ("dropped as disputed", x.dropped_disagreement),
                *unsure,
            ],
        ),
        (
            "pairs labelled, and reused from earlier rounds" if x.reused else "pairs labelled",
            x.labelled + x.reused,
            [(f"trained {words.trained}", x.trained), ("too long for training", x.too_long)],
        ),
    ]
    return [
        Level(
            title,
            total,
            [
                Part(name, count, count / total if total else 0.0, place == 0)
                for place, (name, count) in enumerate(parts)
                if count or place == 0
            ],
        )
        for title, total, parts in levels
    ]


def ledger_problem(ledger: Ledger) -> str:
    """Empty if the numbers add up."""
    try:
        check_ledger(ledger)
    except CardinalityError as error:
        return str(error)
    return ""


def precision_rows(rounds: Sequence[Round]) -> list[dict[str, Any]]:
    """One row per data set with its label precision in every round, the total first."""
    if all(entry.label_precision is None for entry in rounds):
        return []
    names = sorted({name for entry in rounds for name in entry.label_precision_by_dataset})
    rows: list[dict[str, Any]] = [
        {"name": "all pairs", "cells": [entry.label_precision for entry in rounds]}
    ]
    for name in names:
        cells = [entry.label_precision_by_dataset.get(name) for entry in rounds]
        rows.append({"name": name, "cells": cells})
    return rows


def precision_interval(entry: Round) -> tuple[float, float] | None:
    pairs = entry.ledger.labelled
    if entry.label_precision is None or not pairs:
        return None
    return wilson(entry.label_precision * pairs, pairs)


def base_drift(summary: Summary, samples: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The base policy's drift values: none from itself, the others as far as they are known."""
    known = {"kl_to_base": 0.0}
    if samples:
        known["distinct_2"] = distinct_2([row["base_completion"] for row in samples])
    return known | summary.base


def teacher_work(rounds: Sequence[Round]) -> dict[str, int]:
    """Teacher calls made to label pairs, and saved against labelling every answer."""
    made = sum(entry.teacher_calls for entry in rounds)
    return {"made": made, "saved": sum(entry.ledger.generated for entry in rounds) - made}


def teacher_checks(summary: Summary) -> int:
    """Answers that the teacher scored to judge policies, not to label: on dev and test prompts.

    What several rounds found in the store was scored once.
    """
    scored = {
        record.artifact: record.counts.get("scored", 0)
        for record in summary.stages()
        if record.name == "score" and record.role in ("dev", "test")
    }
    return sum(scored.values())


def stage_totals(records: Sequence[StageRecord]) -> dict[str, Any]:
    """Calls, how many were reused, seconds now, when first computed, and saved by reuse."""
    return {
        "calls": len(records),
        "cached": sum(record.cached for record in records),
        "seconds": sum(record.seconds for record in records),
        "computed": sum(record.computed_seconds for record in records),
        "shards": sum(record.shards for record in records),
        "shards_reused": sum(record.shards_reused for record in records),
        "saved": sum(record.saved_seconds for record in records),
    }


def logged_rows(student: StudentSummary) -> list[dict[str, Any]]:
    """Who agrees how often with the recorded judge, on all pairs and on those of equal length."""
    x = student
    rows = [
        ("Longer answer", x.longer_baseline, x.ci95_longer, x.equal_length_longer, None),
        (
            "Student before",
            x.agreement_before,
            x.ci95_before,
            x.equal_length_before,
            x.ci95_equal_length_before,
        ),
        (
            "Student after",
            x.agreement_after,
            x.ci95_after,
            x.equal_length_after,
            x.ci95_equal_length_after,
        ),
    ]
    return [
        {"name": name, "all": (share, ends), "equal": (equal, equal_ends)}
        for name, share, ends, equal, equal_ends in rows
    ]
