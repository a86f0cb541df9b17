"""What a run of LEAF says of itself: what the student keeps of its teacher, and where it loses."""

from collections.abc import Sequence

from data.measures import Fact, Measure, Verdict, Warned
from data.sections import Cell, Column, Counts, Level, Part, Row, Section, Table
from data.store.store import Store
from flows.leaf.figures import WHO, Found, found_in, measures, share_of
from flows.leaf.recipe import LeafRecipe
from flows.leaf.state import ASYMMETRIC, MODES, STANDARD, TEACHER, UNTRAINED, Outcome
from flows.result import Result
from models.checkpoints import parameter_words
from reports.text import interval, percent

Measures = dict[str, Measure]


def told(store: Store, recipe: LeafRecipe, outcome: Outcome) -> Result:
    """The result of a run."""
    collections = found_in(store, outcome)
    found = measures(recipe, outcome, collections)
    return Result(
        headline="kept_asymmetric",
        measures=found,
        sections=[
            retrieval(recipe, collections),
            grid(collections),
            *similarity(outcome),
            learned(outcome),
        ],
        method=f"LEAF, a student of the kind {recipe.student.backbone.kind}",
        verdict=verdict(recipe, found),
        facts=facts(found),
        warnings=warnings(outcome, found),
        checked="No rule found anything. The rules look at whether the student has learnt and at "
        "what the teacher's documents add.",
        progress=progress(found),
    )


def verdict(recipe: LeafRecipe, found: Measures) -> Verdict:
    asymmetric, alone, before = (
        found[f"kept_{mode}"] for mode in (ASYMMETRIC, STANDARD, UNTRAINED)
    )
    line = (
        f"Student keeps {percent(asymmetric.value)} ({interval(asymmetric.ci95)}) of the teacher's "
        f"nDCG@{recipe.evaluate.k} with its documents, {percent(alone.value)} alone; untrained: "
        f"{percent(before.value)}"
    )
    better = alone.ci95 is not None and alone.ci95[0] > before.value
    return Verdict(
        kind="good" if better else "unclear",
        title="The student finds more than it did before it learnt"
        if better
        else "The student is not told apart from what it began as",
        label=asymmetric.title,
        text=f"{line}.",
        line=line,
        short=f"keeps {percent(asymmetric.value)}",
        meaning=[
            "With the teacher's documents an index stays as it is, and only queries cost less; "
            "alone the student encodes both."
        ],
    )


def facts(found: Measures) -> list[Fact]:
    own, teacher = found["parameters"].value, found["teacher_parameters"].value
    return [
        Fact(
            title="Student",
            value=parameter_words(int(own)),
            text=f"parameters, {own / teacher:.2f} of the teacher's; most of a small encoder's are "
            "vectors of tokens, which cost no time",
        ),
        Fact(
            title="Texts",
            value=f"{found['texts'].value:,.0f}",
            text="texts whose vectors it has learnt",
        ),
        Fact(
            title="Cosine",
            value=f"{found['cosine'].value:.3f}",
            text="of its vectors and the teacher's, of the collections' texts",
        ),
    ]


def warnings(outcome: Outcome, found: Measures) -> list[Warned]:
    made = []
    empty = {side: table.meta["empty"] for side, table in outcome.texts.items()}
    if any(empty.values()):
        said = ", ".join(f"{number} of the {side}" for side, number in empty.items() if number)
        made.append(
            Warned(
                section="ledger",
                rule="empty",
                found=f"Empty texts: {said}.",
                reason="They are left out; look at texts and their column.",
            )
        )
    alone, before = found[f"kept_{STANDARD}"], found[f"kept_{UNTRAINED}"]
    if alone.ci95 is None or alone.ci95[0] <= before.value:
        made.append(
            Warned(
                section="retrieval",
                rule="not_learnt",
                found=f"Alone the student keeps {percent(alone.value)}, and kept "
                f"{percent(before.value)} before it had learnt anything.",
                reason="Give it more texts, more epochs or a higher student.learning_rate; a "
                "random backbone needs very many.",
            )
        )
    gain = found["asymmetric_gain"]
    if gain.ci95 is not None and gain.ci95[1] < 0:
        made.append(
            Warned(
                section="retrieval",
                rule="documents_harm",
                found=f"The student finds {-gain.value:.1f} points less among the teacher's "
                "documents than among its own.",
                reason="Its vectors are not near the teacher's: give it more texts or epochs, and "
                "queries like those it will be asked, and check teacher.query_prompt.",
            )
        )
    return made


def retrieval(recipe: LeafRecipe, collections: Sequence[Found]) -> Section:
    """nDCG of every collection, by whose vectors queries and documents have."""
    columns = [
        Column(title="who encodes"),
        Column(title="queries", unit="count"),
        Column(title=f"nDCG@{recipe.evaluate.k}"),
        Column(title="of the teacher's", unit="share"),
    ]
    tables = []
    for one in collections:
        reference = one.mean(TEACHER)
        rows = [
            Row(
                cells=[
                    WHO[mode],
                    len(one.of(mode)),
                    round(one.mean(mode), 4),
                    one.mean(mode) / reference,
                ]
            )
            for mode in MODES
        ]
        tables.append(Table(title=one.name, columns=columns, rows=rows))
    return Section(
        name="retrieval",
        title="Retrieval",
        hint="A query finds the documents whose vectors have the highest inner product with its "
        "own. nDCG counts the first of them, a relevant one the more the higher it stands.",
        blocks=tables,
    )


def grid(collections: Sequence[Found]) -> Section:
    """What is left when vectors are cut and documents quantised, of teacher and student alike."""
    modes = (TEACHER, ASYMMETRIC, STANDARD)
    columns = [
        Column(title="dimensions, documents kept as"),
        *(Column(title=mode, unit="share") for mode in modes),
        Column(title="bytes of a document", unit="count"),
    ]
    bits = {"float32": 32, "int8": 8, "binary": 1}
    tables = [
        Table(
            title=one.name,
            columns=columns,
            rows=[
                Row(
                    cells=[
                        f"{size}, {precision}",
                        *(Cell(value=share_of(one, mode, (size, precision))) for mode in modes),
                        -(-size * bits[precision] // 8),
                    ]
                )
                for size, precision in one.by_mode[TEACHER]
            ],
        )
        for one in collections
    ]
    return Section(
        name="grid",
        title="Cut and quantised",
        hint="Shares of what each has with all dimensions in float32. Vectors are cut to the first "
        "dimensions and have length 1 again; documents are quantised, queries are not. A student "
        "that is near its teacher in all dimensions can be as robust as the teacher, not more: a "
        "teacher that was not trained for cutting (Matryoshka) loses by it.",
        blocks=tables,
    )


def similarity(outcome: Outcome) -> list[Section]:
    """Rank correlations, where the recipe names pairs."""
    if not outcome.pairs:
        return []
    names = {"teacher": "teacher", "student": "student", "start": "student before"}
    columns = [Column(title="pairs"), Column(title="number", unit="count")]
    columns += [Column(title=title) for title in names.values()]
    rows = []
    for one in outcome.pairs:
        metas = {who: one.correlations[who].meta for who in names}
        cells = [Cell(value=round(x["spearman"], 4), ci95=tuple(x["ci95"])) for x in metas.values()]
        rows.append(Row(cells=[one.name, metas["teacher"]["pairs"], *cells]))
    title = "Alike texts"
    return [
        Section(
            name="similarity",
            title=title,
            hint="Spearman's rank correlation of the cosine of two texts with the score that "
            "people gave the pair.",
            blocks=[Table(title=title, columns=columns, rows=rows)],
        )
    ]


def learned(outcome: Outcome) -> Section:
    """The texts of each side, from the files' rows on."""
    names = {"empty": "empty", "repeated": "there before"}
    levels = []
    for side, table in outcome.texts.items():
        left_out = [Part(name=said, n=table.meta[what]) for what, said in names.items()]
        parts = [Part(name="learned", n=table.rows or 0), *(one for one in left_out if one.n)]
        levels.append(Level(title=side, total=table.meta["rows"], parts=parts))
    return Section(
        name="ledger",
        title="Texts",
        hint="Rows of the files. The teacher encodes every text once; the student learns its "
        "vector. No judgment of a collection is used.",
        blocks=[Counts(title="Texts to learn", levels=levels)],
    )


def progress(found: Measures) -> Table:
    """A line for a terminal."""
    names = ("texts", "kept_asymmetric", "kept_standard", "kept_untrained")
    cells = [f"{found[names[0]].value:,.0f}", *(percent(found[name].value) for name in names[1:])]
    titles = ("texts", "asymmetric", "standard", "untrained")
    columns = [Column(title=title) for title in titles]
    return Table(columns=columns, rows=[Row(cells=list(cells))])
