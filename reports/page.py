"""The HTML report: one self-contained file that requests nothing; its script only filters."""

from base64 import b64encode
from collections.abc import Sequence
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from data.durations import duration
from data.summary import Round, Summary
from reports import text, view
from reports.answers import sample_groups
from reports.first import facts, judge_box, worries
from reports.plots import Point, Series, chart, interval_bar
from reports.rules import LOW_PRECISION, warnings
from reports.words import words as method_words

if TYPE_CHECKING:
    from jinja2 import Environment

DRIFT = {
    "kl_to_base": ("KL to the base", "nats per answer"),
    "mean_tokens": ("Length", "tokens per answer"),
    "distinct_2": ("Variety", "share of word pairs that are different"),
    "student_reward": ("Student's reward", "mean, the student after each round"),
    "teacher_reward": ("Teacher's reward", "mean"),
    "judge_score": ("Judge's score", "mean"),
}


def report_html(summary: Summary, samples: Sequence[dict[str, Any]], recipe_text: str) -> str:
    """The report as a page. All text of models and users is escaped.

    Args:
        samples: Rows of EVALUATION of the final round, each with its prompt's `messages`; all of
            them, the report chooses. Empty where no policy was trained.
        recipe_text: The recipe as YAML, to be shown.
    """
    words = method_words(summary)
    base = view.base_drift(summary, samples)
    rounds, final = summary.rounds, text.result(summary)
    logged, pairs_only = text.is_logged(summary), text.pairs_only(summary)
    found = warnings(base, rounds, words)
    precision = view.precision_rows(rounds)
    titles = sections(
        datasets=final is not None,
        rounds=bool(rounds) and not logged,
        answers=bool(samples),
        agreement=logged and not pairs_only,
        matrix=any(entry.matrix for entry in rounds),
        ledger=bool(rounds),
        labels=bool(rounds) and not logged and (words.student or bool(precision)),
        drift=bool(rounds) and not logged,
    )
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            summary=summary,
            words=words,
            sections=titles,
            headline=text.headline(summary),
            judge=text.judge_name(summary),
            judge_box=judge_box(summary, words),
            facts=facts(summary, words),
            worries=worries(summary, found, ledger_first(titles)),
            final=final,
            student=text.last_student(summary) if rounds and words.student else None,
            win_chart=win_chart([rounds]),
            agreement_chart=agreement_chart(rounds) if words.student else "",
            logged_rows=view.logged_rows(rounds[-1].student) if logged and rounds else [],
            base=base,
            drift_charts=drift_charts([(rounds, base)]),
            warnings=found,
            precision=precision,
            low_precision=LOW_PRECISION,
            precision_interval=view.precision_interval,
            levels=partial(view.ledger_levels, words=words),
            problem=view.ledger_problem,
            teacher_work=view.teacher_work,
            groups=sample_groups(samples),
            recipe_text=recipe_text,
        )
    )


TITLES = {
    "rounds": "Round by round",
    "datasets": "By data set",
    "answers": "Answers side by side",
    "agreement": "Agreement with the judge",
    "matrix": "The model matrix, by axis",
    "ledger": "From asked to trained",
    "labels": "Are the labels right?",
    "drift": "Drift",
    "cost": "Cost",
    "provenance": "Provenance",
}


def sections(**there: bool) -> dict[str, str]:
    """Title by id of the sections a report has, in order; what is not named is there."""
    return {name: title for name, title in TITLES.items() if there.get(name, True)}


def ledger_first(titles: dict[str, str]) -> dict[str, str]:
    """The ledger takes the warnings of sections that are left out."""
    return {name: titles[name] for name in sorted(titles, key=lambda name: name != "ledger")}


@cache
def environment() -> "Environment":
    """Templates of this folder; what they insert is escaped, and must be there."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    made.filters |= {
        "percent": text.percent,
        "interval": text.interval,
        "duration": duration,
        "short": text.short,
        "score": score,
        "signed": signed,
    }
    made.globals |= {"totals": view.stage_totals, "bar": interval_bar}
    code = (Path(__file__).with_name("templates") / "report.js.j2").read_text(encoding="utf-8")
    made.globals |= {"script": Markup(f"<script>{code}</script>"), "script_digest": _digest(code)}
    return made


def _digest(code: str) -> str:
    """What a Content-Security-Policy allows a script by: this one, and no other, runs."""
    return "sha256-" + b64encode(sha256(code.encode()).digest()).decode()


def message_html(title: str, text: str) -> str:
    """A page that says one thing."""
    page = environment().from_string(
        '{% from "report_macros.html.j2" import head with context %}'
        "{{ head(title ~ ' – tsalign') }}<body><main><section><h1>{{ title }}</h1><p>{{ text }}</p>"
        '<p><a href="/">All runs</a></p></section></main></body></html>'
    )
    return page.render(title=title, text=text)


def script_digest() -> str:
    """Of the script that every page has."""
    return str(environment().globals["script_digest"])


def score(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def signed(value: float | None, digits: int = 2) -> str:
    return "" if value is None else ("+" if value > 0 else "") + score(value, digits)


def names(rounds: Sequence[Round]) -> list[str]:
    return [str(entry.round) for entry in rounds]


def win_chart(runs: Sequence[Sequence[Round]], labels: Sequence[str] = ("",)) -> Markup:
    """Of one run, or of two side by side, whose names are the labels."""
    series = [
        Series(
            f"{label} win rate after round".strip(),
            [
                Point(place, entry.policy.win_rate, entry.policy.ci95, hollow=not entry.adopted)
                for place, entry in enumerate(rounds)
                if entry.policy
            ],
            **look,
        )
        for rounds, label, look in zip(runs, labels, looks(len(runs)), strict=True)
    ]
    title = "Win rate over the base policy after every round, with 95 % intervals"
    longest = names(max(runs, key=len))
    return chart(title, series, longest, unit="win rate", line=0.5, percent=True)


def looks(count: int) -> list[dict[str, Any]]:
    """Colour and place of one series, or of two that share a chart."""
    if count == 1:
        return [{}]
    return [{"style": "second", "shift": -0.1}, {"style": "first", "shift": 0.1}]


def agreement_chart(rounds: Sequence[Round]) -> Markup:
    """Before and after distillation, side by side in every round."""
    sides: dict[str, list[Point]] = {"before": [], "after": []}
    for place, entry in enumerate(rounds):
        student = entry.student
        if student.agreement_before is not None:
            point = Point(place, student.agreement_before, student.ci95_before)
            sides["before"].append(point)
        if student.agreement_after is not None:
            hollow = not student.adopted
            point = Point(place, student.agreement_after, student.ci95_after, hollow=hollow)
            sides["after"].append(point)
    series = [
        Series("before, round", sides["before"], style="second", shift=-0.12),
        Series("after, round", sides["after"], shift=0.12),
    ]
    title = "Student's agreement with the judge on held-out pairs, before and after every round"
    return chart(title, series, names(rounds), unit="agreement", percent=True)


def drift_charts(
    runs: Sequence[tuple[Sequence[Round], dict[str, float]]], labels: Sequence[str] = ("",)
) -> list[dict[str, Any]]:
    """One small chart per drift value, from the base policy (if known) to the last round.

    Args:
        runs: Rounds and base values of one run, or of two side by side, whose names are `labels`.
    """
    drifted = [[entry for entry in rounds if entry.drift] for rounds, _ in runs]
    if not any(drifted):
        return []
    places = ["base", *names(max(drifted, key=len))]
    charts = []
    for name, (title, unit) in DRIFT.items():
        series = []
        for entries, (_, base), label, look in zip(
            drifted, runs, labels, looks(len(runs)), strict=True
        ):
            points = [Point(0, base[name])] if entries and name in base else []
            for place, entry in enumerate(entries, start=1):
                value = getattr(entry.drift, name)
                if value is not None:
                    points.append(Point(place, value, hollow=not entry.adopted))
            series.append(Series(f"{label} {title}".strip(), points, **look))
        drawn = chart(f"{title}, {unit}, by round", series, places, unit=unit, size=(260, 180))
        charts.append({"title": title, "svg": drawn})
    return charts
