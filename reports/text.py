"""The result of a run in words, and how pages and terminal write numbers.

A flow may say everything itself (`Summary.verdict`); what it leaves out is made from its measures.
"""

from typing import NamedTuple

from data.durations import duration
from data.measures import Interval, Kind, Measure, Verdict
from data.summary import Summary
from reports.plots import number

NOT_FINISHED = "The run has not finished. Run the recipe again; it continues from here."
NO_ROUND = "No round is finished. Run the recipe again to continue."


def percent(value: float | None) -> str:
    return "–" if value is None else number(value, percent=True)


def interval(ends: Interval | None) -> str:
    """ "67.9 to 74.3 %"."""
    return "" if ends is None else f"{ends[0] * 100:.1f} to {percent(ends[1])}"


def short(digest: str) -> str:
    """The first twelve hexadecimal digits of a digest."""
    return digest.removeprefix("sha256:")[:12]


def score(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def signed(value: float | None, digits: int = 2) -> str:
    return "" if value is None else ("+" if value > 0 else "") + score(value, digits)


def written(value: float | str | None, unit: str = "") -> str:
    """A value as its unit has it: "71.2 %", "+1.8", "1,234", "0.48"; text as it is."""
    if value is None or isinstance(value, str):
        return "–" if value is None else value
    if unit == "share":
        return percent(value)
    if unit == "points":
        return signed(value, 1)
    if unit == "count":
        return f"{value:,.0f}"
    if unit == "seconds":
        return duration(value)
    found = score(value) if unit == "score" else number(value, percent=False)
    return found.replace("-", "\N{MINUS SIGN}")


def ends(ci95: Interval | None, unit: str) -> str:
    """The interval of a value of this unit; empty without one."""
    if ci95 is None or unit == "share":
        return interval(ci95)
    low, high = (written(end, unit) for end in ci95)
    return f"{low} to {high}"


def title(measure: Measure, name: str) -> str:
    return measure.title or name.replace("_", " ")


def column(measure: Measure, name: str) -> str:
    """A title that fits above a column."""
    return measure.short or title(measure, name)


def of_headline(summary: Summary) -> Measure | None:
    """The measure that stands for the run; None as long as it is not known."""
    return summary.measures.get(summary.headline)


class Headline(NamedTuple):
    """The result at the top of a page."""

    kind: Kind  # a colour
    verdict: str
    number: str
    interval: str
    label: str
    text: str


def headline(summary: Summary) -> Headline:
    measure, before = of_headline(summary), unfinished(summary)
    said = _said(summary)
    text = f"{before} {said.text}".strip()
    if measure is None:
        return Headline("unclear", said.title, "–", "", said.label, text)
    label = f"{said.label}, so far" if before and measure.kept else said.label
    value = written(measure.value, measure.unit)
    return Headline(said.kind, said.title, value, ends(measure.ci95, measure.unit), label, text)


def unfinished(summary: Summary) -> str:
    """Why this is not the end, in a sentence; empty if it is."""
    if not summary.measures:
        return NO_ROUND
    if summary.stopped:
        return f"Stopped in {summary.stopped}."
    return "" if summary.finished else NOT_FINISHED


def result_line(summary: Summary) -> str:
    """The result of a run in one line."""
    line, before = _said(summary).line, unfinished(summary)
    if not line:
        return headline(summary).text
    return f"{line}. {before}" if before else line


def short_result(summary: Summary) -> str:
    """For a table of runs."""
    measure = of_headline(summary)
    return _said(summary).short if measure else "none yet"


def meaning(summary: Summary) -> list[str]:
    """What the result means, a sentence each; empty where nothing was measured."""
    return _said(summary).meaning


def rounds_done(summary: Summary) -> int:
    """Of a flow that measures round by round: how many there are. Else 1, or 0 before the end."""
    counted = [one.round for measure in summary.measures.values() for one in measure.rounds]
    return max([len(summary.rounds), *counted, int(bool(summary.measures))])


def _said(summary: Summary) -> Verdict:
    """What the flow says, and of the measure what it does not say."""
    said, measure = summary.verdict or Verdict(), of_headline(summary)
    own = said.model_dump(exclude_defaults=True)
    if measure is None:
        return Verdict.model_validate({"title": "No result yet", "label": "no result"} | own)
    return Verdict.model_validate(_of_measure(measure, summary.headline).model_dump() | own)


def _of_measure(measure: Measure, name: str) -> Verdict:
    called, value = title(measure, name), written(measure.value, measure.unit)
    called = called if measure.unit in ("", "share", "count", "score") else (
        f"{called}, {measure.unit}"
    )  # fmt: skip
    around = f" ({ends(measure.ci95, measure.unit)})" if measure.ci95 else ""
    refused = "" if measure.kept else ", not adopted"
    judged = f", judged by {measure.judge}" if measure.judge else ""
    over = f", n = {measure.n:,}" if measure.n else ""
    line = f"{_capital(called)}: {value}{around}{judged}{refused}"
    text = f"{_capital(called)}: {value}{around}{over}{judged}{refused}."
    found = Verdict(
        title=_capital(called),
        label=called + refused,
        line=line,
        short=f"{value}{around}{refused}",
        text=text,
    )
    if measure.even is None or measure.ci95 is None:
        return found
    even = written(measure.even, measure.unit)
    titles = {"good": "Better", "bad": "Worse", "unclear": "Not told apart from no change"}
    side = "above" if measure.ci95[0] > measure.even else "below"
    meant = {
        "good": f"It is better: the whole interval lies {side} that.",
        "bad": f"It is worse: the whole interval lies {side} that.",
        "unclear": "No difference is shown: the interval spans that.",
    }[measure.means]
    meant = f"No change would be {even}. {meant}"
    return found.model_copy(
        update={
            "kind": measure.means,
            "title": titles[measure.means],
            "text": f"{text} {meant}",
            "meaning": [meant],
        }
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
