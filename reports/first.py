"""The first screen of a report: by whose judgement, at what cost, and what should worry a reader.

Whether it is better, and by how much, is `report_text.headline`.
"""

from collections.abc import Sequence
from typing import NamedTuple

from data.durations import duration
from data.summary import Summary
from reports import text, view
from reports.rules import Warned
from reports.words import Words

FEW_PROMPTS = 100  # held out; fewer leave an interval of about 20 points


class Fact(NamedTuple):
    """A number or a name, and what it is."""

    title: str
    value: str
    text: str


class Worry(NamedTuple):
    text: str
    section: str  # of the report, where more is said
    title: str  # of that section


def judge_box(summary: Summary, words: Words) -> str:
    """What it means that the teacher alone has judged; empty where another judge has."""
    final = text.result(summary)
    if final is None or final.judge != "teacher":
        return ""
    took_part = (
        "The teacher that labelled the training pairs has also judged the result."
        if words.who == "the teacher"
        else "The teacher has decided which policies were kept and has also judged the result."
    )
    return (
        f"{took_part} So {text.percent(final.win_rate)} says how often the teacher, not a person, "
        "prefers the new answers. A policy can please its teacher with length, phrases or mistakes "
        "that the teacher does not see, and no number on this page tells that from better answers. "
        "Before you rely on it, read answers, and let people or a model that took no part compare "
        "them."
    )


def facts(summary: Summary, words: Words) -> list[Fact]:
    """By whose judgement, and the cost: teacher calls, tokens, time. Empty without a round."""
    if not summary.rounds:
        return []
    return [_judge(summary), _calls(summary, words), _made(summary, words), _time(summary)]


def _judge(summary: Summary) -> Fact:
    last = summary.rounds[-1]
    if text.pairs_only(summary):
        return Fact("Answers", f"{last.ledger.generated:,}", "recorded answers")
    if text.is_logged(summary):
        return Fact(
            "To beat",
            text.percent(last.student.longer_baseline),
            "agreement of the rule “the longer answer is better” with "
            f"{text.judge_name(summary)}, by whose recorded judgments the student is judged",
        )
    final = text.result(summary)
    judge = final.judge if final else summary.config.get("evaluate", {}).get("judge", "teacher")
    who = {
        "teacher": "the model that the policy was trained to please",
        "oracle": "an exact program that the loop never sees",
    }
    return Fact("Judged by", judge, who.get(judge, ""))


def _calls(summary: Summary, words: Words) -> Fact:
    made = sum(entry.teacher_calls for entry in summary.rounds)
    generated = sum(entry.ledger.generated for entry in summary.rounds)
    if text.pairs_only(summary):
        return Fact("Judge’s calls", f"{made:,}", "calls of a judge to correct the order of pairs")
    if text.is_logged(summary):
        said = f"judgments of {words.who} used to label pairs, of {generated:,} recorded"
        return Fact("Judgments used", f"{made:,}", f"{said} for the training prompts")
    said = "teacher calls to label pairs"
    if words.reader == "the teacher":
        said += ", one for every answer"
    elif 0 < made < generated:
        said += f"; labelling every answer would take {generated:,}"
    if checks := view.teacher_checks(summary):
        return Fact("Teacher calls", f"{made:,}", f"{said}. {checks:,} more to judge the policies")
    return Fact("Teacher calls", f"{made:,}", f"{said}. Checks on dev and test prompts come on top")


def _made(summary: Summary, words: Words) -> Fact:
    ledgers = [entry.ledger for entry in summary.rounds]
    trained, asked = sum(x.trained for x in ledgers), sum(x.asked for x in ledgers)
    tokens = sum(entry.tokens for entry in summary.rounds)
    pairs = f"preference pairs {'made' if text.pairs_only(summary) else 'trained on'}"
    if text.is_logged(summary):
        return Fact("Pairs", f"{trained:,}", f"{pairs}, from {asked:,} prompts")
    return Fact(
        "Answer tokens",
        f"{tokens:,}",
        f"generated to train, for {trained:,} {pairs}, from {asked:,} prompts",
    )


def _time(summary: Summary) -> Fact:
    total = view.stage_totals(summary.stages())
    seconds = summary.seconds if summary.finished else total["seconds"]
    said = "this time" if summary.finished else "this time so far"
    if total["saved"]:
        said += (
            f"; {duration(total['saved'])} saved by reusing {total['cached']} of "
            f"{total['calls']} stages"
        )
        said += f" and {total['shards_reused']} shards" if total["shards_reused"] else ""
    return Fact("Time", duration(seconds), said)


def worries(summary: Summary, warned: Sequence[Warned], titles: dict[str, str]) -> list[Worry]:
    """What a reader should look at before believing the headline, each with its section.

    Args:
        titles: Of the sections that this report has; the first takes what has no section.
    """
    first = next(iter(titles.items()), ("", ""))
    found = [
        Worry(one.found, *((one.section, titles[one.section]) if one.section in titles else first))
        for one in warned
    ]
    final = text.result(summary)
    n = sum(result.n for result in final.by_dataset.values()) if final else 0
    if 0 < n < FEW_PROMPTS and "datasets" in titles:
        few = f"Only {n} prompts were held out to judge; the interval is wide."
        found.append(Worry(few, "datasets", titles["datasets"]))
    if notes := len(summary.notes):
        said = f"{notes} note{'s' * (notes != 1)} on the inputs, from the checks before the run."
        found.append(Worry(said, "provenance", "Provenance"))
    return found
