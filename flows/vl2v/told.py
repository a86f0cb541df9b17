"""What a run of VL2V says of itself: how well domains are recognised that nobody has shown it."""

from collections.abc import Sequence

from data.measures import Fact, Measure, Verdict, Warned
from data.sections import Cell, Column, Counts, Level, Part, Row, Section, Table
from data.store.artifacts import Artifact
from data.store.store import Store
from flows.result import Result
from flows.vl2v.figures import SOURCE, TARGET, Found, found_in, measures
from flows.vl2v.recipe import METHODS, Vl2vRecipe
from flows.vl2v.state import Outcome, Parts
from models.checkpoints import parameter_words
from reports.text import ends, interval, percent, signed

Measures = dict[str, Measure]


def told(store: Store, recipe: Vl2vRecipe, parts: Parts, done: Sequence[Outcome]) -> Result:
    """The result of a run, or of the targets so far."""
    found = found_in(store, done)
    made = measures(recipe, parts, done, found)
    return Result(
        headline="ood_accuracy",
        measures=made,
        sections=[domains(recipe, found), classes(found), ledger(parts)],
        method=METHODS[recipe.method],
        verdict=verdict(recipe, made),
        facts=facts(made, len(found)),
        warnings=warnings(recipe, parts, found, made),
        checked="No rule found anything. The rules look at whether anything was learned, at what "
        "the teacher does alone, and at images that were dropped.",
        progress=progress(recipe, found),
    )


def verdict(recipe: Vl2vRecipe, found: Measures) -> Verdict:
    ood, inside, teacher = (found[name] for name in ("ood_accuracy", "id_accuracy", "zero_shot"))
    accuracy = f"{percent(ood.value)} ({interval(ood.ci95)})"
    if recipe.method == "zero_shot":
        line = f"The teacher alone recognises {accuracy} of the images, domains weighing the same"
        return Verdict(
            title="What the teacher knows without a student",
            label=ood.title,
            text=f"{line}.",
            line=line,
            short=f"zero-shot {percent(ood.value)}",
            meaning=["No student was trained: this is what students are held against."],
        )
    over = found["over_teacher"]
    line = (
        f"Student recognises {accuracy} of the images of domains that were left out, "
        f"{percent(inside.value)} of the others' held-out images; the teacher alone "
        f"{percent(teacher.value)}"
    )
    titles = {
        "good": "The student is better than its teacher where it has not been shown anything",
        "bad": "The student is behind its teacher in domains that were left out",
        "unclear": "The student is not told apart from its teacher in domains that were left out",
    }
    return Verdict(
        kind=over.means,
        title=titles[over.means],
        label=ood.title,
        text=f"{line}.",
        line=line,
        short=f"out of domain {percent(ood.value)}",
        meaning=[
            f"Over the teacher, image by image: {signed(over.value, 1)} points "
            f"({ends(over.ci95, over.unit)}). Whether the method is worth it, a bench with method "
            "erm beside it tells."
        ],
    )


def facts(found: Measures, targets: int) -> list[Fact]:
    made = [
        Fact(
            title="In domain",
            value=percent(found["id_accuracy"].value),
            text="of held-out images of the domains that were learned",
        ),
        Fact(
            title="Teacher",
            value=percent(found["zero_shot"].value),
            text="of the same images by the teacher alone",
        ),
        Fact(
            title="Images",
            value=f"{found['prompts'].value:,.0f}",
            text=f"images; {targets} domains were left out in turn",
        ),
    ]
    if "parameters" in found:
        value = parameter_words(int(found["parameters"].value))
        made.append(Fact(title="Student", value=value, text="parameters"))
    return made


def warnings(
    recipe: Vl2vRecipe, parts: Parts, found: Sequence[Found], made: Measures
) -> list[Warned]:
    said = []
    guessing = [one.target for one in found if one.student[TARGET].mean() <= one.most_frequent]
    if guessing and recipe.method != "zero_shot":
        said.append(
            Warned(
                section="domains",
                rule="not_learnt",
                found=f"In {', '.join(guessing)} the student is no better than naming the most "
                "frequent class always.",
                reason="Raise student.distil.epochs or its learning rate, or look at the images.",
            )
        )
    if "over_teacher" in made and made["over_teacher"].means == "bad":
        said.append(
            Warned(
                section="domains",
                rule="behind_teacher",
                found="The teacher alone recognises more of the targets' images than the student.",
                reason="Where it may be used itself, a student only saves cost.",
            )
        )
    if broken := parts.images.meta["broken"]:
        said.append(
            Warned(
                section="ledger",
                rule="broken_images",
                found=f"Images that could not be read and were dropped: {broken:,}.",
                reason="Look at the files, for what is measured is measured without them.",
            )
        )
    return said


def domains(recipe: Vl2vRecipe, found: Sequence[Found]) -> Section:
    """Accuracy by the domain that was left out."""
    columns = [
        Column(title="left out"),
        Column(title="images", unit="count"),
        Column(title="student there", unit="share"),
        Column(title="teacher there", unit="share"),
        Column(title="most frequent class", unit="share"),
        Column(title="student, held-out images of the others", unit="share"),
        Column(title="teacher, the same", unit="share"),
    ]
    rows = [
        Row(
            cells=[
                one.target,
                len(one.student[TARGET]),
                *(_cell(side[TARGET].mean()) for side in (one.student, one.teacher)),
                _cell(one.most_frequent),
                *(_cell(side[SOURCE].mean()) for side in (one.student, one.teacher)),
            ]
        )
        for one in found
    ]
    title = "Domain by domain"
    pretrained = recipe.teacher.kind == "contrastive"
    of_teacher = (
        " This teacher is a stand-in for one of web pre-training: it was trained here, on other "
        "images of all domains, the targets included."
        if pretrained
        else ""
    )
    return Section(
        name="domains",
        title=title,
        hint="A student has learned nothing of the domain that was left out, and nothing of the "
        f"held-out images of the others. No checkpoint is chosen, the last weights "
        f"count.{of_teacher}",
        blocks=[Table(title=title, columns=columns, rows=rows)],
    )


def classes(found: Sequence[Found]) -> Section:
    """Accuracy in the targets, class by class."""
    names = sorted({name for one in found for name in one.by_class})
    columns = [Column(title="class"), *(Column(title=one.target, unit="share") for one in found)]
    rows = [
        Row(
            cells=[
                name,
                *(
                    _cell(one.by_class[name].mean()) if name in one.by_class else None
                    for one in found
                ),
            ]
        )
        for name in names
    ]
    title = "Class by class"
    return Section(
        name="classes",
        title=title,
        hint="Accuracy in the domain that was left out.",
        blocks=[Table(title=title, columns=columns, rows=rows)],
    )


def _cell(share: float) -> Cell:
    return Cell(value=float(share))


def ledger(parts: Parts) -> Section:
    """Images of each file, from its rows on."""
    levels = [_level("to learn and to measure", parts.images)]
    if parts.pretraining:
        levels.append(_level("the teacher's", parts.pretraining))
    return Section(
        name="ledger",
        title="Images",
        hint="Rows of the files. An image that is there twice counts once, or it would be learned "
        "and measured too.",
        blocks=[Counts(title="Images", levels=levels)],
    )


def _level(title: str, images: Artifact) -> Level:
    names = {"repeated": "there before", "broken": "could not be read"}
    left_out = [Part(name=said, n=images.meta[what]) for what, said in names.items()]
    return Level(
        title=title,
        total=images.meta["rows"],
        parts=[Part(name="kept", n=images.rows or 0), *(one for one in left_out if one.n)],
    )


def progress(recipe: Vl2vRecipe, found: Sequence[Found]) -> Table:
    """A line per target, for a terminal."""
    titles = ("left out", "there", "teacher there", "others, held out")
    rows = [
        Row(
            cells=[
                one.target,
                *(percent(float(side[TARGET].mean())) for side in (one.student, one.teacher)),
                percent(float(one.student[SOURCE].mean())),
            ]
        )
        for one in found
    ]
    return Table(columns=[Column(title=title) for title in titles], rows=rows)
