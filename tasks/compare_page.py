"""The page of `tsalign compare`: one self-contained file, no scripts, no requests."""

from pathlib import Path
from typing import Any

from data.summary import PolicySummary, write_text
from tasks.report_html import environment


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
        rows: Of COMPARISON, see flows/compare.py.
        judged: Of the second policy over the first.
        facts: What decided the answers, by name.
    """
    template = environment().get_template("compare_page.html.j2")
    write_text(
        out, template.render(title=title, names=names, rows=rows, judged=judged, facts=facts)
    )
