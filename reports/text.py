"""The report in sentences, and how it writes numbers."""

from data.summary import Final, Round, StudentSummary, Summary
from reports.plots import number

NOT_FINISHED = "The run has not finished. Run the recipe again; it continues from here."
NO_ROUND = "No round is finished. Run the recipe again to continue."


def percent(value: float | None) -> str:
    return "–" if value is None else number(value, percent=True)


def interval(ends: tuple[float, float] | None) -> str:
    """ "67.9 to 74.3 %"."""
    return "" if ends is None else f"{ends[0] * 100:.1f} to {percent(ends[1])}"


def short(digest: str) -> str:
    """The first twelve hexadecimal digits of a digest."""
    return digest.removeprefix("sha256:")[:12]


def result_round(summary: Summary) -> Round | None:
    """The round whose policy is the result: of an unfinished run, the last adopted one."""
    if summary.final:
        return next((r for r in summary.rounds if r.round == summary.final.round), None)
    adopted = [entry for entry in summary.rounds if entry.adopted and entry.policy]
    return adopted[-1] if adopted else None


def result(summary: Summary) -> Final | None:
    """The final result; of an unfinished run, the result so far."""
    entry = result_round(summary)
    if summary.final or entry is None or entry.policy is None:
        return summary.final
    known = entry.policy.model_dump(include=set(Final.model_fields))
    return Final(round=entry.round, **known)


def last_student(summary: Summary) -> StudentSummary:
    """The student the run ends with: of the last round in which a new one was kept."""
    kept = [entry.student for entry in summary.rounds if entry.student.adopted]
    return kept[-1] if kept else summary.rounds[0].student


def is_logged(summary: Summary) -> bool:
    """Whether this is a run over logged completions, in which no policy was trained."""
    return bool(summary.rounds) and summary.config.get("recipe") in ("logged", "matrix")


def pairs_only(summary: Summary) -> bool:
    """Whether this is a run that made pairs of a recorded model matrix and trained nothing."""
    return bool(summary.config.get("recipe") == "matrix")


def headline(summary: Summary) -> dict[str, str]:
    """verdict, number, interval, label, kind (a colour) and sentences of the result."""
    if summary.rounds and pairs_only(summary):
        return _matrix_headline(summary)
    if is_logged(summary):
        return _logged_headline(summary.rounds[-1].student, judge_name(summary))
    entry, final = result_round(summary), result(summary)
    if final is None or entry is None:
        return _no_result(summary)
    found = _win_headline(final, entry)
    if summary.final is None:
        found["label"] += ", so far"
        found["text"] = f"{stopped(summary) or NOT_FINISHED} {found['text']}"
    return found


def judge_name(summary: Summary) -> str:
    if pairs_only(summary):
        judge = summary.config["matrix"].get("correction", {}).get("judge", "teacher")
        return "no judge" if judge == "none" else "the judge"
    logged = summary.config.get("logged") or {}
    return str(logged.get("judge", "recorded judge")) if is_logged(summary) else "teacher"


def stopped(summary: Summary) -> str:
    """Why the run ended before its last round, in a sentence; empty if it did not."""
    last = summary.rounds[-1].stopped if summary.rounds else None
    return f"Stopped in {last}." if last else ""


def _no_result(summary: Summary) -> dict[str, str]:
    if not summary.rounds:
        text = NO_ROUND
    elif summary.rounds[-1].stopped:
        text = stopped(summary)
    elif len(summary.rounds) < summary.config.get("rounds", 1):
        text = NOT_FINISHED
    else:
        text = (
            "No round's policy was adopted: on the dev prompts the teacher never preferred the "
            "new policy. The base policy stays."
        )
    found = {"kind": "unclear", "number": "–", "interval": "", "label": "no result"}
    found |= {"verdict": "No result yet", "text": text}
    refused = [entry for entry in summary.rounds if entry.policy and not entry.adopted]
    if refused and (policy := refused[-1].policy):
        found |= {
            "verdict": "No new policy was adopted",
            "number": percent(policy.win_rate),
            "interval": interval(policy.ci95),
            "label": f"win rate over the base in round {refused[-1].round}, not adopted",
        }
    return found


def _win_headline(final: Final, entry: Round) -> dict[str, str]:
    low, high = final.ci95
    result = entry.policy
    assert result is not None
    n = result.wins + result.ties + result.losses
    text = (
        f"On {n:,} held-out prompts the aligned policy (round {final.round}) gave the better "
        f"answer {result.wins:,} times, an equally good one {result.ties:,} times and a worse one "
        f"{result.losses:,} times, judged by the {final.judge}. "
    )
    if low > 0.5:
        kind, verdict = "good", "Better than the base policy"
        said = "It is better than the base: the whole interval lies above that"
    elif high < 0.5:
        kind, verdict = "bad", "Worse than the base policy"
        said = "It is worse than the base: the whole interval lies below that"
    else:
        kind, verdict = "unclear", "Not told apart from the base policy"
        said = "It cannot be told apart from the base: the interval spans that"
    text += f"No change would be {percent(0.5)}. {said}. "
    if len(final.by_dataset) > 1:
        text += f"The number is the mean over {len(final.by_dataset)} data sets of equal weight. "
    return {
        "kind": kind,
        "verdict": verdict,
        "number": percent(final.win_rate),
        "interval": interval(final.ci95),
        "label": "win rate over the base policy, ties counting half",
        "text": text.strip(),
    }


def _matrix_headline(summary: Summary) -> dict[str, str]:
    entry = summary.rounds[-1]
    x, cells = entry.ledger, len(summary.config["matrix"]["cells"])
    text = f"Recorded answers of {cells} models to {x.asked:,} prompts gave {x.mined:,} pairs. "
    if x.agreed + x.swapped:
        text += (
            f"The judge confirmed the presumed order of {x.agreed:,}, reversed {x.swapped:,}, and "
            f"gave verdicts that turn with the order of the answers on {x.inconsistent:,}."
        )
    else:
        text += "Nobody has judged them: their order is what the places of the models presume."
    return {
        "kind": "unclear",
        "verdict": "Pairs were made, nothing was trained",
        "number": f"{x.labelled:,}",
        "interval": "",
        "label": "pairs of a model matrix",
        "text": text,
    }


def _logged_headline(student: StudentSummary, judge: str) -> dict[str, str]:
    text = (
        f"On {student.pairs:,} held-out pairs of answers, the student picked the answer that the "
        f"judge ({judge}) prefers in {percent(student.agreement_before)} of cases before "
        f"distillation and in {percent(student.agreement_after)} after. "
    )
    kind, short_verdict = "unclear", "The student learned from the recorded judgments"
    after, ends, longer = student.agreement_after, student.ci95_after, student.longer_baseline
    if after is not None and ends and longer is not None:
        text += f"The rule “the longer answer is better” gets {percent(longer)}: the student is "
        if ends[0] > longer:
            kind, verdict = "good", "better than this rule."
        elif ends[1] < longer:
            kind, verdict = "bad", "worse than this rule."
        else:
            verdict = "not told apart from it."
        text += verdict
        short_verdict = {
            "good": "The student beats “the longer answer is better”",
            "bad": "The student is worse than “the longer answer is better”",
        }.get(kind, "The student is not told apart from “the longer answer is better”")
    return {
        "kind": kind,
        "verdict": short_verdict,
        "number": percent(after),
        "interval": interval(ends),
        "label": "agreement of the distilled student with the judge",
        "text": text.strip(),
    }
