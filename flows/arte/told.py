"""What a run of ARTE says of itself: accuracies, what each style is worth, what was asked."""

from collections.abc import Sequence

from data.measures import Fact, Measure, Value, Verdict, Warned
from data.sections import Cell, Column, Row, Section, Table, Text
from data.store.artifacts import Artifact
from data.store.store import Store
from data.tailoring import Draft, best_styles, by_question, mean, style_scores
from flows.arte.measures import chance_spread, of_run, scored
from flows.arte.recipe import LEARNS, ArteRecipe
from flows.arte.state import Outcome
from flows.result import Result
from reports.text import interval, percent

Measures = dict[str, Measure]
FLOOR = 0.1  # accuracy of a task below which its scores are hardly more than chance


def told(store: Store, recipe: ArteRecipe, one: Outcome) -> Result:
    """The result of a run."""
    measures, drafts = of_run(store, recipe, one), scored(store, one)
    return Result(
        headline="accuracy",
        measures=measures,
        sections=[accuracies(measures), styles(recipe, drafts), items(store, one), drafting(one)],
        method=f"ARTE, method {recipe.method}" + (f" {recipe.style}" if recipe.style else ""),
        verdict=verdict(recipe, measures),
        facts=facts(measures, drafts),
        warnings=[*at_floor(measures), *like_chance(recipe, drafts), *too_few(recipe, one)],
        checked="No rule found anything. The rules look at tasks at the floor, at scores that "
        "differ no more than chance would have it, and at how many questions were written.",
        progress=progress(measures),
    )


def verdict(recipe: ArteRecipe, measures: Measures) -> Verdict:
    """Whether the student answers better."""
    found = measures["accuracy"]
    titles = {
        "good": "The student answers more questions right",
        "bad": "The student answers fewer questions right",
        "unclear": "Not told apart from the student before",
    }
    around = f" ({interval(found.ci95)})"
    line = f"Accuracy {percent(found.value)}{around}, {percent(found.even)} before"
    return Verdict(
        kind=found.means,
        title=titles[found.means],
        label=found.title,
        text=f"{line}. It has learnt {LEARNS[recipe.method]}.",
        line=line,
        short=f"accuracy {percent(found.value)}",
        meaning=["Whether that is due to the method only a comparison with others tells: bench."],
    )


def accuracies(measures: Measures) -> Section:
    """Accuracy by task, before and after."""
    shots = [one for name, one in measures.items() if name.startswith("accuracy") and one.rounds]
    columns = [Column(title="task")]
    for one in shots:
        columns += [
            Column(title=f"{one.short}, {when}", unit="share", bar=True)
            for when in ("before", "after")
        ]
    rows = [
        Row(cells=[task, *(_cell(point.parts[task]) for one in shots for point in one.rounds)])
        for task in shots[0].parts
    ]
    whole = [_cell(point) for one in shots for point in one.rounds]
    rows.append(Row(cells=["mean of tasks", *whole], total=True))
    return Section(
        name="accuracy",
        title="Accuracy on test questions",
        hint="Exact answers, written greedily; the questions took no part in anything else.",
        blocks=[Table(title="By task", columns=columns, rows=rows)],
    )


def styles(recipe: ArteRecipe, drafts: Sequence[Draft]) -> Section:
    """What a draft in each style is worth as the one example."""
    names = [one.name for one in recipe.drafts.styles]
    columns = [Column(title="task"), *(Column(title=name, unit="share") for name in names)]
    columns += [Column(title="best style"), Column(title="its share of the best drafts")]
    best, shares = best_styles(drafts), best_shares(drafts)
    rows = [
        Row(
            cells=[
                task,
                *(found.get(name) for name in names),
                best[task],
                percent(shares[task].get(best[task], 0.0)),
            ]
        )
        for task, found in style_scores(drafts).items()
    ]
    spread, chance = chance_spread(drafts, recipe.items.k)
    text = (
        f"Within tasks the scores have a standard deviation of {percent(spread)}; drafts that are "
        f"all worth the same would have about {percent(chance)}, as each is scored on "
        f"{recipe.items.k} questions."
    )
    return Section(
        name="styles",
        title="What a draft is worth to the student",
        hint="The share of the chosen questions that the student answers right with the draft as "
        "its one example, before it has learnt anything.",
        blocks=[Table(title="Mean score by style", columns=columns, rows=rows),
                Text(paragraphs=[text])],
    )  # fmt: skip


def best_shares(drafts: Sequence[Draft]) -> dict[str, dict[str, float]]:
    """How often a style has the best draft of a question, by task."""
    found: dict[str, list[str]] = {}
    for own in by_question(drafts).values():
        best = max(own, key=lambda one: one.score)
        found.setdefault(best.task, []).append(best.style)
    return {
        task: {name: names.count(name) / len(names) for name in set(names)}
        for task, names in found.items()
    }


def items(store: Store, one: Outcome) -> Section:
    """The questions that scored the drafts."""
    rows_of: dict[str, list[dict[str, float]]] = {}
    for row in store.table(one.items.model).to_pylist():
        rows_of.setdefault(row["dataset"], []).append(row)
    columns = [
        Column(title="task"),
        Column(title="validation questions", unit="count"),
        Column(title="chosen", unit="count"),
        Column(title="answered right by the zoo, chosen", unit="share"),
        Column(title="all", unit="share"),
        Column(title="discrimination, chosen"),
        Column(title="all"),
    ]
    rows = []
    for task, found in rows_of.items():
        chosen = [row for row in found if row["chosen"]]
        values = [
            mean([row[name] for row in part])
            for name in ("right", "discrimination")
            for part in (chosen, found)
        ]
        rows.append(Row(cells=[task, len(found), len(chosen), *values]))
    return Section(
        name="items",
        title="The questions that score drafts",
        hint="Chosen are those of the highest discrimination in a two-parameter logistic model of "
        "who answers what: the student and the zoo, with every number of examples.",
        blocks=[Table(title="By task", columns=columns, rows=rows)],
    )


def drafting(one: Outcome) -> Section:
    """What became of the questions and rationales that were written."""
    columns = [Column(title="asked"), *(Column(title=name, unit="count") for name in WRITTEN)]
    columns += [Column(title="rationales", unit="count"), Column(title="cut off", unit="count")]
    again, made = one.tailored.questions, one.tailored
    rows = [_row("drafts", one.drafts.questions.kept, one.drafts.rationales.explained)]
    if made.rationales:
        kept = (again or one.drafts.questions).kept
        rows.append(_row("again", kept, made.rationales.explained))
    return Section(
        name="drafts",
        title="Questions and rationales",
        hint="Questions that are cut off, held out, repeated or more than asked for are left out.",
        blocks=[Table(title="What was written", columns=columns, rows=rows)],
    )


WRITTEN = {
    "questions kept": "kept",
    "cut off or empty": "unfinished",
    "held out": "held_out",
    "repeated": "repeated",
    "surplus": "surplus",
}


def _row(name: str, kept: Artifact, rationales: Artifact) -> Row:
    numbers = [kept.meta[what] for what in WRITTEN.values()]
    return Row(cells=[name, *numbers, rationales.rows, rationales.meta["unfinished"]])


def at_floor(measures: Measures) -> list[Warned]:
    """Tasks that the student can hardly do with an example."""
    low = {name: x.value for name, x in measures["one_shot"].parts.items() if x.value < FLOOR}
    if not low:
        return []
    named = ", ".join(f"{name} ({percent(value)})" for name, value in low.items())
    return [
        Warned(
            section="styles",
            rule="at_floor",
            found=f"With one example the student hardly answers {named}.",
            reason="Scores of drafts are near chance there: leave the task out, or take an easier "
            "one.",
        )
    ]


def like_chance(recipe: ArteRecipe, drafts: Sequence[Draft]) -> list[Warned]:
    """Scores that differ no more than if every draft were worth the same."""
    spread, chance = chance_spread(drafts, recipe.items.k)
    if spread > chance:
        return []
    return [
        Warned(
            section="styles",
            rule="like_chance",
            found=f"Scores of drafts differ by {percent(spread)} (standard deviation), which is no "
            f"more than the {percent(chance)} of chance.",
            reason="The student does not care which draft it sees: raise items.k, or give styles "
            "that differ more.",
        )
    ]


def too_few(recipe: ArteRecipe, one: Outcome) -> list[Warned]:
    """Tasks of which fewer questions were written than asked for."""
    made = {"drafts": one.drafts.questions, "again": one.tailored.questions}
    short = {name: x.kept.meta["tasks_short"] for name, x in made.items() if x}
    if not any(short.values()):
        return []
    named = " and ".join(f"of {number} in {name}" for name, number in short.items() if number)
    return [
        Warned(
            section="drafts",
            rule="few_questions",
            found=f"Fewer questions than drafts.questions {recipe.drafts.questions} were kept: "
            f"tasks {named}.",
            reason="Methods then learn from different numbers of examples: raise generate.k, or "
            "lower drafts.questions.",
        )
    ]


def facts(measures: Measures, drafts: Sequence[Draft]) -> list[Fact]:
    best = ", ".join(f"{style} in {task}" for task, style in best_styles(drafts).items())
    found = [
        Fact(title="Best styles", value=f"{len(set(best_styles(drafts).values()))}", text=best),
        Fact(
            title="Examples learned",
            value=f"{measures['trained'].value:,.0f}",
            text=f"of {measures['drafts'].value:,.0f} drafts that were scored, by "
            f"{measures['one_shot_answers'].value:,.0f} answers of the student",
        ),
    ]
    if right := measures.get("learned_right"):
        text = "of the rationales learned end at the right answer"
        found.append(Fact(title="Right", value=percent(right.value), text=text))
    return found


def progress(measures: Measures) -> Table:
    """A line, narrow enough for a terminal."""
    names = ["one_shot", *(name for name, one in measures.items() if name.startswith("accuracy"))]
    shown = [name for name in names if name == "one_shot" or measures[name].rounds]
    columns = [Column(title="round")]
    columns += [Column(title=measures[name].short or "one-shot before") for name in shown]
    return Table(
        columns=columns, rows=[Row(cells=["1", *(percent(measures[name].value) for name in shown)])]
    )


def _cell(found: Value) -> Cell:
    return Cell(value=found.value, ci95=found.ci95)
