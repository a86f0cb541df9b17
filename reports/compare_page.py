"""The page of `tsalign compare`: one self-contained file, no scripts, no requests."""

from pathlib import Path
from typing import Any

from data.summary import PolicySummary, write_text
from reports.page import environment

FEW = 20  # prompts; resampling fewer gives intervals that are too narrow


def few(judged: PolicySummary) -> bool:
    """Whether an interval would say more than is known."""
    return judged.wins + judged.ties + judged.losses < FEW


def write_page(
    out: Path,
    title: str,
    names: tuple[str, str],
    rows: list[dict[str, Any]],
    judged: PolicySummary | None,
    facts: dict[str, str],
) -> None:
    """Write the answers of two policies side by side. All text of models and users is escaped.

    Args:
        rows: Of COMPARISON, see cli/use/compare.py.
        judged: Of the second policy over the first.
        facts: What decided the answers, by name.
    """
    few_judged = judged is not None and few(judged)
    template = environment().get_template("compare_page.html.j2")
    write_text(
        out,
        template.render(
            title=title, names=names, rows=rows, judged=judged, few=few_judged, facts=facts
        ),
    )
