"""What a run over a recorded model matrix says of itself: pairs, and nothing trained."""

from collections.abc import Mapping
from typing import Any

from data.measures import Fact, Measure, Verdict
from data.sections import Column, Row, Table
from data.summary import Round
from flows.loop import sections
from flows.loop.measures import of_rounds
from flows.loop.rules import warnings
from flows.loop.wording import Config, Words, corrector
from flows.result import Result


def told(config: Mapping[str, Any], entry: Round) -> Result:
    """The result of such a run, whose one round is given."""
    method = words(dict(config))
    shown = [sections.matrix([entry])] if entry.matrix else []
    return Result(
        headline="labelled",
        measures=measures(method, entry),
        sections=[*shown, sections.ledger(method, [entry])],
        method="a recorded model matrix",
        verdict=verdict(config, entry),
        facts=facts(entry),
        warnings=[
            one.model_copy(update={"section": "ledger"}) for one in warnings({}, [entry], method)
        ],
        checked="No rule found anything. The rules look at lost answers and pairs; they cannot say "
        "whether an answer is right.",
        progress=progress(method, entry),
        rounds=[entry],
    )


def measures(method: Words, entry: Round) -> dict[str, Measure]:
    found = of_rounds([entry], {}, method)
    found["labelled"].title, found["labelled"].short = "pairs of a model matrix", "pairs"
    for name in ("trained", "tokens"):  # nothing is trained or generated
        del found[name]
    return found


def verdict(config: Mapping[str, Any], entry: Round) -> Verdict:
    x, cells = entry.ledger, len(config["matrix"]["cells"])
    text = f"Recorded answers of {cells} models to {x.asked:,} prompts gave {x.mined:,} pairs. "
    if x.agreed + x.swapped:
        text += (
            f"The judge confirmed the presumed order of {x.agreed:,}, reversed {x.swapped:,}, and "
            f"gave verdicts that turn with the order of the answers on {x.inconsistent:,}."
        )
    else:
        text += "Nobody has judged them: their order is what the places of the models presume."
    return Verdict(
        title="Pairs were made, nothing was trained",
        label="pairs of a model matrix",
        text=text,
        line=text,
        short=f"{x.labelled:,} pairs",
    )


def facts(entry: Round) -> list[Fact]:
    x = entry.ledger
    return [
        Fact(title="Answers", value=f"{x.generated:,}", text="recorded answers"),
        Fact(
            title="Judge’s calls",
            value=f"{entry.teacher_calls:,}",
            text="calls of a judge to correct the order of pairs",
        ),
        Fact(
            title="Pairs",
            value=f"{x.trained:,}",
            text=f"preference pairs made, from {x.asked:,} prompts",
        ),
    ]


def progress(method: Words, entry: Round) -> Table:
    """A line for a terminal."""
    x = entry.ledger
    columns = ["prompts", "pairs", *["swapped"] * method.reverses]
    cells = [f"{x.asked:,}", f"{x.labelled:,}", *[f"{entry.swap_rate:.0%}"] * method.reverses]
    return Table(columns=[Column(title=title) for title in columns], rows=[Row(cells=list(cells))])


def words(config: Config) -> Words:
    """The words of a run over a recorded model matrix."""
    corrected = corrector(config).replace("teacher", "judge")
    return Words(
        rounds="",
        ledger="Every model of the matrix has answered the prompts; two answers of models whose "
        "places the matrix compares make a pair, presumed in the order of the places"
        + (f"; {corrected} corrects the order" if corrected else ", which nobody checks")
        + ". Nothing is trained.",
        answers="recorded answers to {asked} prompts",
        reader="the judge",
        tied="no two answers that the matrix compares",
        who=corrected or "the matrix",
        shown=f"pairs shown to {corrected}" if corrected else "pairs of the matrix",
        order="the presumed order" if corrected else "",
        trained="elsewhere, if at all",
        calls="one answer read by the judge to correct the order of a pair"
        if corrected
        else "none: nobody has judged the pairs",
        section="Recorded answers",
        student=False,
    )
