"""The HTML report: one self-contained file, no scripts, no requests."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from markupsafe import Markup

from data.summary import Round, Summary, write_text
from models.drift import drift_warnings
from tasks import report_text as text
from tasks import report_view as view
from tasks.plots import Point, Series, chart, interval_bar

DRIFT = {
    "kl_to_base": ("KL to the base", "nats per answer"),
    "mean_tokens": ("Length", "tokens per answer"),
    "distinct_2": ("Variety", "share of word pairs that are different"),
    "student_reward": ("Student's reward", "mean, the student after each round"),
    "teacher_reward": ("Teacher's reward", "mean"),
    "judge_score": ("Judge's score", "mean"),
}
LONGEST = 1_500  # characters of a sample's text that are shown


def render_report(
    summary: Summary, samples: Sequence[dict[str, Any]], recipe_text: str, out: Path
) -> None:
    """Write the report of a run.

    Args:
        samples: Rows of EVALUATION of the final round, each with its prompt's `messages`; all of
            them, the report chooses. Empty where no policy was trained.
        recipe_text: The recipe as YAML, to be shown.
        out: The HTML file.
    """
    write_text(out, report_html(summary, samples, recipe_text))


def report_html(summary: Summary, samples: Sequence[dict[str, Any]], recipe_text: str) -> str:
    """The report as a page. All text of models and users is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {
        "percent": text.percent,
        "interval": text.interval,
        "duration": text.duration,
        "short": text.short,
        "clip": clip,
        "score": score,
        "signed": signed,
    }
    logged = text.is_logged(summary)
    base = view.base_drift(summary, samples)
    rounds = summary.rounds
    return environment.get_template("report.html.j2").render(
        summary=summary,
        logged=logged,
        headline=text.headline(summary),
        judge=text.judge_name(summary),
        final=text.result(summary),
        last_student=text.last_student(summary) if rounds else None,
        win_chart=win_chart(rounds),
        agreement_chart=agreement_chart(rounds),
        logged_rows=view.logged_rows(rounds[-1].student) if logged else [],
        base=base,
        drift_charts=drift_charts(rounds, base),
        drift_warnings=drift_warnings(base, rounds),
        label_warnings=text.label_warnings(rounds),
        precision=view.precision_rows(rounds),
        precision_interval=view.precision_interval,
        steps=partial(
            view.ledger_steps,
            who=text.judge_name(summary) if logged else "the teacher",
            trained="the student" if logged else "the policy",
        ),
        problem=view.ledger_problem,
        parts=view.completion_parts,
        totals=view.stage_totals,
        groups=view.sample_groups(samples),
        bar=interval_bar,
        recipe_text=recipe_text,
    )


def clip(content: str) -> str:
    """The beginning of a long text, saying how much is left out."""
    if len(content) <= LONGEST:
        return content
    return f"{content[:LONGEST]} … ({len(content) - LONGEST:,} more characters)"


def score(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}".replace("-", "\N{MINUS SIGN}")


def signed(value: float | None) -> str:
    return "" if value is None else ("+" if value > 0 else "") + score(value)


def names(rounds: Sequence[Round]) -> list[str]:
    return [str(entry.round) for entry in rounds]


def win_chart(rounds: Sequence[Round]) -> Markup:
    points = [
        Point(place, entry.policy.win_rate, entry.policy.ci95, hollow=not entry.adopted)
        for place, entry in enumerate(rounds)
        if entry.policy
    ]
    series = [Series("win rate after round", points)]
    title = "Win rate over the base policy after every round, with 95 % intervals"
    return chart(title, series, names(rounds), line=0.5, percent=True)


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
    return chart(title, series, names(rounds), percent=True)


def drift_charts(rounds: Sequence[Round], base: dict[str, float]) -> list[dict[str, Any]]:
    """One small chart per drift value, from the base policy (if known) to the last round."""
    entries = [entry for entry in rounds if entry.drift]
    if not entries:
        return []
    labels = ["base", *names(entries)]
    charts = []
    for name, (title, unit) in DRIFT.items():
        points = [Point(0, base[name])] if name in base else []
        for place, entry in enumerate(entries, start=1):
            value = getattr(entry.drift, name)
            points.append(Point(place, value, hollow=not entry.adopted))
        drawn = chart(
            f"{title}, {unit}, by round", [Series(title, points)], labels, size=(260, 170)
        )
        charts.append({"title": title, "unit": unit, "svg": drawn})
    return charts
