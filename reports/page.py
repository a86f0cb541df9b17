"""The HTML report: one self-contained file that requests nothing; its script only filters."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from data.durations import duration
from data.sections import Section
from data.summary import Summary
from reports import text
from reports.answers import sample_groups
from reports.drawing import arranged, drawn, headline_curve
from reports.first import costs, facts, spent, stage_totals, worries
from reports.plots import interval_bar

if TYPE_CHECKING:
    from jinja2 import Environment

Rows = Sequence[dict[str, Any]]


def report_html(summary: Summary, answers: Mapping[str, Rows], recipe_text: str) -> str:
    """The report as a page. All text of models and users is escaped.

    Args:
        answers: Rows of EVALUATION, each with its prompt's `messages`, by the digest of the
            artifact that a section shows; all of them, the report chooses. Without them a section
            of answers alone is left out.
        recipe_text: The recipe as YAML, to be shown.
    """
    shown = [section for section in summary.sections if _there(section, answers)]
    titles = {section.name: section.title for section in shown if not section.box}
    titles |= {"cost": "Cost", "provenance": "Provenance"}
    page = environment().get_template("report.html.j2")
    return page.render(
        summary=summary,
        titles=titles,
        sections=shown,
        arranged=arranged,
        groups=partial(_groups, answers),
        headline=text.headline(summary),
        measure=text.of_headline(summary),
        curve=headline_curve(summary),
        rounds=text.rounds_done(summary),
        facts=facts(summary),
        worries=worries(summary, titles),
        costs=costs(summary),
        spent=spent(summary),
        recipe_text=recipe_text,
    )


def _there(section: Section, answers: Mapping[str, Rows]) -> bool:
    """Whether there is more to show than answers that nobody has any more."""
    return not section.blocks or any(
        block.kind != "answers" or answers.get(block.evaluation.artifact)
        for block in section.blocks
    )


def _groups(answers: Mapping[str, Rows], digest: str) -> list[Any]:
    return list(sample_groups(answers.get(digest, ())))


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
        "score": text.score,
        "signed": text.signed,
        "written": text.written,
    }
    made.globals |= {"totals": stage_totals, "bar": interval_bar, "drawn": drawn, "ends": text.ends}
    made.globals |= {"column": text.column, "title": text.title}
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
