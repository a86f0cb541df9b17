"""What a run of AuroBind's fitness half says of itself."""

from data.measures import Fact, Measure, Verdict, Warned
from data.recipes.fitness import SYNTHETIC
from data.sections import Cell, Column, Counts, Level, Part, Row, Section, Table, Text
from data.store.artifacts import TABLE
from data.store.store import Store
from flows.aurobind.figures import NO_SCALE, measures
from flows.aurobind.recipe import AurobindRecipe
from flows.aurobind.state import FAST, LISTWISE, LONGER, TEACHER, WHO, Outcome
from flows.result import Result
from models.checkpoints import parameter_words
from reports.text import ends, percent, score, signed

Measures = dict[str, Measure]
# Shown in the report's table of models, with how it is written.
SHOWN = {
    "near_accuracy": ("near pairs right", "share"),
    "spearman": ("Spearman", ""),
    "spearman_cliffs": ("Spearman, cliffs", ""),
    "ef5": ("EF 5 %", ""),
    "ef1": ("EF 1 %", ""),
    "rmse": ("RMSE", ""),
}
SCALE_LOST = 1.5  # times the regression's error from which on a warning says so
KEPT, RECALL, FASTER = 0.9, 0.8, 20.0  # what is asked of a fast student
OUT = {
    "weight": "too light",
    "clogp": "too lipophilic",
    "donors": "too many donors",
    "acceptors": "too many acceptors",
    "similarity": "too similar to a known active",
    "rank": "beyond those that are kept",
}
NO_STRUCTURES = (
    "AuroBind's other half is not here: no structure is predicted, no confidence comes from one, "
    "and no protein is read but by its name or the pieces of its sequence. What is tested is what "
    "its listwise stage, its fast student and its cascade do for a model of fingerprints."
)


def told(store: Store, recipe: AurobindRecipe, outcome: Outcome) -> Result:
    """The result of a run."""
    found = measures(store, recipe, outcome)
    screened = [] if outcome.screened is None else [screening(outcome, found)]
    files = {}
    if outcome.screened:
        files["hits.parquet"] = store.path(outcome.screened.hits) / TABLE
    return Result(
        headline="near_gain",
        measures=found,
        sections=[
            ranking(recipe, outcome, found),
            by_target(found),
            *screened,
            learned(recipe, outcome),
        ],
        files=files,
        method="AuroBind's fitness half: regression, then ListMLE at temperature "
        f"{recipe.preference.temperature:g}",
        verdict=verdict(recipe, found),
        facts=facts(found),
        warnings=warnings(outcome, found),
        checked="No rule found anything. The rules look at whether the listwise stage helps, at "
        "the scale it leaves, and at what a fast student loses.",
        progress=progress(found),
    )


def verdict(recipe: AurobindRecipe, found: Measures) -> Verdict:
    gain, ranks = found["near_gain"], found["spearman_gain"]
    low, high = recipe.evaluate.near
    mine, its = (found[f"near_accuracy_{who}"].value for who in (LISTWISE, LONGER))
    line = (
        f"Listwise {percent(mine)} of near pairs right, regression for as many updates "
        f"{percent(its)}: {signed(gain.value)} points ({ends(gain.ci95, 'points')}), Spearman "
        f"{signed(ranks.value, 3)}"
    )
    meaning = [
        f"A near pair is two compounds of one target, measured {low:g} to {high:g} log units "
        "apart, of scaffolds or targets that nobody has learned."
    ]
    if recipe.activities.path == SYNTHETIC:
        meaning.append("The activities are made up: nobody has measured these compounds.")
    if not gain.n:
        return Verdict(
            kind="unclear",
            title="No near pair was held out, so nothing could be measured",
            label=gain.title,
            text=f"No target has two held-out compounds {low:g} to {high:g} log units apart.",
            line="No near pair was held out, so nothing could be measured",
            short="–",
            meaning=meaning,
        )
    titles = {
        "good": "The listwise stage orders near pairs better than more regression",
        "bad": "The listwise stage orders near pairs worse than more regression",
        "unclear": "The listwise stage is not told apart from more regression",
    }
    return Verdict(
        kind=gain.means,
        title=titles[gain.means],
        label=gain.title,
        text=f"{line}.",
        line=line,
        short=f"{signed(gain.value)} points",
        meaning=meaning,
    )


def facts(found: Measures) -> list[Fact]:
    made = [
        Fact(
            title="Activities",
            value=f"{found['activities'].value:,.0f}",
            text=f"of {found['compounds'].value:,.0f} compounds at {found['targets'].value:,.0f} "
            "targets",
        ),
        Fact(
            title="Teacher",
            value=parameter_words(int(found["parameters"].value)),
            text="parameters",
        ),
    ]
    if "recall" in found:
        made.append(
            Fact(
                title="Fast student",
                value=f"{found['times_faster'].value:.0f} x",
                text=f"as fast; {percent(found['recall'].value)} of the teacher's top is in its "
                "best 5 %",
            )
        )
    return made


def warnings(outcome: Outcome, found: Measures) -> list[Warned]:
    made = []
    if found["near_gain"].means == "bad":
        made.append(
            Warned(
                section="ranking",
                rule="listwise_harms",
                found=f"Near pairs: {signed(found['near_gain'].value)} points against regression.",
                reason="Lower preference.learning_rate, raise preference.temperature or set "
                "preference.anchor, choosing by the figures of the dev part.",
            )
        )
    before, after = (found.get(f"rmse_{who}") for who in (TEACHER, LISTWISE))
    if before and after and after.value > SCALE_LOST * before.value:
        made.append(
            Warned(
                section="ranking",
                rule="scale_lost",
                found=f"The listwise stage leaves an error of {score(after.value)} log units, "
                f"regression {score(before.value)}.",
                reason="Its values order compounds of one target and are no pXC50 any more: "
                "compare them within a target only, or set preference.anchor.",
            )
        )
    if lost := outcome.data.activities.meta["unreadable"]:
        made.append(
            Warned(
                section="ledger",
                rule="unreadable",
                found=f"RDKit cannot read the SMILES of {lost} rows.",
                reason="They are left out; correct them where they matter.",
            )
        )
    made += _of_fast_student(found)
    return made


def _of_fast_student(found: Measures) -> list[Warned]:
    """What it lacks, and what would mend that: a wider one ranks better and is slower."""
    wanted = {"ef5_kept": KEPT, "recall": RECALL, "times_faster": FASTER}
    short = [name for name, least in wanted.items() if name in found and found[name].value < least]
    if not short:
        return []
    said = ", ".join(f"{found[name].short} {_said(found[name])}" for name in short)
    better = "Give it more student.epochs, more student.pairs or a greater student.width."
    faster = (
        "A smaller student.width is faster and ranks worse; the speed is that of this machine, and "
        "of its teacher."
    )
    reasons = [better] if short != ["times_faster"] else []
    reasons += [faster] if "times_faster" in short else []
    return [
        Warned(
            section="screening",
            rule="fast_student",
            found=f"Below what is asked of a fast student: {said}.",
            reason=" ".join(reasons),
        )
    ]


def _said(measure: Measure) -> str:
    return percent(measure.value) if measure.unit == "share" else f"{measure.value:.3g}"


def ranking(recipe: AurobindRecipe, outcome: Outcome, found: Measures) -> Section:
    """All models on the part that is held out."""
    columns = [Column(title="model")]
    columns += [Column(title=title, unit=unit) for title, unit in SHOWN.values()]
    rows = []
    for who in outcome.predictions:
        cells: list[Cell | str] = [WHO[who]]
        for name in SHOWN:
            one = found.get(f"{name}_{who}")
            cells.append(Cell(value=one.value, ci95=one.ci95) if one else Cell(value=None))
        rows.append(Row(cells=list(cells)))
    title = "What is ordered right"
    scale = " and ".join(WHO[who] for who in NO_SCALE)
    return Section(
        name="ranking",
        title=title,
        hint="Of activities that are held out, a mean over targets; intervals are over targets. "
        f"Active is a target's best {100 * recipe.evaluate.active:g} %, so that EF is 1 by chance. "
        f"{scale} has no scale, so no error. Listwise and regression for as many updates go on "
        "from the same teacher with the same rows in the same batches.",
        blocks=[Table(title=title, columns=columns, rows=rows), Text(paragraphs=[NO_STRUCTURES])],
    )


def by_target(found: Measures) -> Section:
    """What the listwise stage does at every target."""
    names = ("near_accuracy", "spearman")
    columns = [Column(title="target")]
    for name in names:
        title, unit = SHOWN[name]
        columns += [Column(title=f"{title}, regression", unit=unit),
                    Column(title=f"{title}, listwise", unit=unit)]  # fmt: skip
    columns.append(Column(title="near gain", unit="points"))
    gain = found["near_gain"].parts
    rows = []
    for target in sorted(gain):
        pairs = (found[f"{name}_{who}"].parts.get(target) for name in names
                 for who in (LONGER, LISTWISE))  # fmt: skip
        cells = [one.value if one else None for one in pairs]
        rows.append(Row(cells=[target, *cells, gain[target].value]))
    return Section(
        name="by_target",
        title="By target",
        hint="Targets with fewer than ten held-out activities, or without a near pair, are left "
        "out of all means.",
        blocks=[Table(title="By target", columns=columns, rows=rows)],
    )


def screening(outcome: Outcome, found: Measures) -> Section:
    """How the fast student stands in for the teacher, and what the cascade leaves."""
    assert outcome.screened is not None
    wanted = {"ef5_kept": KEPT, "recall": RECALL, "times_faster": FASTER}
    columns = [Column(title="of the fast student"), Column(title="value"), Column(title="asked")]
    rows = []
    for name, least in wanted.items():
        if one := found.get(name):
            asked = percent(least) if one.unit == "share" else f"{least:g}"
            value = Cell(value=_said(one), note=ends(one.ci95, one.unit))
            rows.append(Row(cells=[one.title, value, asked]))
    meta = outcome.screened.hits.meta
    parts = [Part(name="kept", n=meta.get("kept", 0))]
    parts += [Part(name=said, n=meta[name]) for name, said in OUT.items() if meta.get(name)]
    level = Level(title="scored again by the teacher", total=meta["rescored"], parts=parts)
    library = outcome.screened.by_student.meta["library"]
    return Section(
        name="screening",
        title="Screening",
        hint=f"A library of {library:,} compounds that neither has learned, at every target: the "
        "fast student scores all, the teacher its best again, and properties decide. The list is "
        "hits.parquet in the run's folder. Solubility is not among the properties, and nothing "
        "was bought or measured.",
        blocks=[
            Table(title="The fast student", columns=columns, rows=rows),
            Counts(title="The cascade, over all targets", levels=[level]),
        ],
    )


def learned(recipe: AurobindRecipe, outcome: Outcome) -> Section:
    """From the rows of the tables to lists."""
    read, parts, lists = (
        one.meta for one in (outcome.data.activities, outcome.data.parts, outcome.lists)
    )
    activities = outcome.data.activities.rows or 0
    left_out = {"unreadable": "unreadable SMILES", "repeated": "measured again"}
    rows = [Part(name="activities", n=activities)]
    rows += [Part(name=said, n=read[name]) for name, said in left_out.items() if read[name]]
    names = {"train": "learned", "dev": "to choose settings by", "test": "measured on"}
    held = [Part(name=said, n=parts[name]) for name, said in names.items()]
    short = parts["train"] - lists["ranked"] - lists["unsure"]
    missing = {"not sure enough": lists["unsure"], "of targets with too few": short}
    listed = [Part(name="in lists", n=lists["ranked"])]
    listed += [Part(name=said, n=n) for said, n in missing.items() if n]
    over = {
        "scaffold": ", over all targets together: compounds repeat.",
        "target": ", with all targets of their group.",
    }
    return Section(
        name="ledger",
        title="Activities",
        hint=f"Whole {recipe.split.by}s are held out{over[recipe.split.by]}",
        blocks=[
            Counts(
                title="From rows to lists",
                levels=[
                    Level(title="rows", total=read["rows"], parts=rows),
                    Level(title="activities", total=activities, parts=held),
                    Level(title="learned", total=parts["train"], parts=listed),
                ],
            )
        ],
    )


def progress(found: Measures) -> Table:
    """A line for a terminal."""
    cells = [f"{found['activities'].value:,.0f}"]
    cells += [percent(found[f"near_accuracy_{who}"].value) for who in (TEACHER, LONGER, LISTWISE)]
    fast = found.get(f"ef5_{FAST}")
    cells.append(score(fast.value) if fast else "none")
    titles = ("activities", "near right: teacher", "longer", "listwise", "EF 5 %, fast")
    columns = [Column(title=title) for title in titles]
    return Table(columns=columns, rows=[Row(cells=list(cells))])
