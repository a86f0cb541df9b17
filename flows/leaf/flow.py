"""LEAF: a small text encoder learns a larger one's vectors (arXiv 2509.12539).

The teacher encodes every text once; its vectors are an artifact that all students share. Student
and teacher are then measured on retrieval: *standard*, the student's queries and documents, and
*asymmetric*, the student's queries against the teacher's documents, which an index has already.
"""

from data.recipes.encoders import DOCUMENTS, QUERIES, OwnBackbone, Side
from data.store.artifacts import Artifact
from flows.leaf.recipe import LeafRecipe
from flows.leaf.state import MODES, UNTRAINED, Measured, Outcome
from flows.leaf.told import told
from flows.result import Made, Result
from tasks.encode import encode
from tasks.regress import regress, route, start_encoder
from tasks.retrieval_texts import (
    import_corpus,
    import_paired_texts,
    import_pairs,
    import_queries,
    import_relevance,
    import_segments,
)
from tasks.retrieve import correlate, fidelity, retrieve
from tasks.running.subflow import subflow
from tasks.stage import Model, Run

BOTH: tuple[Side, ...] = (QUERIES, DOCUMENTS)


def texts_to_learn(run: Run, recipe: LeafRecipe) -> dict[str, Artifact]:
    """TEXTS by side, of the sides that the student learns from."""
    found: dict[str, Artifact] = {}
    for side in recipe.student.sides:
        sources = recipe.texts.sources(side)
        files = [run.outside[f"texts.{side}.{number}"] for number in range(len(sources))]
        found[side] = import_segments.as_(side, title=f"read {side}")(
            files=files, columns=[one.column for one in sources]
        )
    return found


def learn(run: Run, recipe: LeafRecipe, texts: dict[str, Artifact]) -> tuple[Artifact, Artifact]:
    """The student before and after it has learnt the teacher's vectors of these texts."""
    teacher, backbone = run.outside["teacher.model"], recipe.student.backbone
    prompts = {side: recipe.teacher.prompt(side) for side in recipe.student.sides}
    targets = {
        side: encode.as_(f"teacher {side}", title=f"teacher encodes {side}")(
            encoder=teacher, texts=texts[side], prompt=prompts[side]
        )
        for side in recipe.student.sides
    }
    own = isinstance(backbone, OwnBackbone)
    start = start_encoder(
        teacher=teacher,
        own=run.outside["student.backbone.model"] if own else None,
        backbone=backbone,
        max_length=recipe.student.max_length,
        query_prompt=recipe.teacher.query_prompt,
        document_prompt=recipe.teacher.document_prompt,
        seed=recipe.seed,
    )
    sides = recipe.student.sides
    student = regress(
        student=start,
        texts=[texts[side] for side in sides],
        vectors=[targets[side] for side in sides],
        prompts=[prompts[side] for side in sides],
        config=recipe.student,
        seed=recipe.seed,
    )
    return start, student


def on_collection(
    run: Run, recipe: LeafRecipe, number: int, encoders: dict[str, Model]
) -> Measured:
    """What the encoders find in a collection."""
    collection, config = run.outside[f"evaluate.retrieval.{number}"], recipe.evaluate
    name = collection.name
    texts = {
        QUERIES: import_queries.as_(name, measures=True)(collection=collection),
        DOCUMENTS: import_corpus.as_(name, measures=True)(collection=collection),
    }
    relevance = import_relevance.as_(name, measures=True)(collection=collection)
    vectors = {
        who: {
            side: encode.as_(f"{who} {name} {side}", measures=True)(
                encoder=encoder, texts=texts[side], prompt=recipe.teacher.prompt(side)
            )
            for side in BOTH
        }
        for who, encoder in encoders.items()
    }
    retrieved = {
        mode: retrieve.as_(f"{name} {mode}", measures=True)(
            queries=vectors[asks][QUERIES],
            documents=vectors[keeps][DOCUMENTS],
            relevance=relevance,
            k=config.k,
            dimensions=[] if mode == UNTRAINED else list(config.dimensions),
            precisions=["float32"] if mode == UNTRAINED else list(config.precisions),
        )
        for mode, (asks, keeps) in MODES.items()
    }
    alike = fidelity.as_(name, measures=True)(
        student=list(vectors["student"].values()), teacher=list(vectors["teacher"].values())
    )
    return Measured(name, retrieved, alike)


def on_pairs(run: Run, number: int, encoders: dict[str, Model]) -> Measured:
    """How the encoders order scored pairs; no prompt stands before such texts."""
    file = run.outside[f"evaluate.similarity.{number}"]
    pairs = import_pairs.as_(file.name, measures=True)(file=file)
    texts = import_paired_texts.as_(file.name, measures=True)(file=file)
    found = {}
    for who, encoder in encoders.items():
        vectors = encode.as_(f"{who} {file.name}", measures=True)(
            encoder=encoder, texts=texts, prompt=""
        )
        found[who] = correlate.as_(f"{file.name} {who}", measures=True)(
            pairs=pairs, vectors=vectors
        )
    return Measured(file.name, correlations=found)


@subflow("leaf", run_name="{name} / leaf")
def distil_encoder(
    name: str, *, run: Run, recipe: LeafRecipe, texts: dict[str, Artifact]
) -> Outcome:
    """Encode, learn, measure, pack."""
    teacher = run.outside["teacher.model"]
    start, student = learn(run, recipe, texts)
    encoders: dict[str, Model] = {"teacher": teacher, "student": student, "start": start}
    config = recipe.evaluate
    return Outcome(
        texts=texts,
        start=start,
        student=student,
        router=route(
            student=student,
            teacher=teacher,
            query_prompt=recipe.teacher.query_prompt,
            document_prompt=recipe.teacher.document_prompt,
        ),
        collections=[
            on_collection(run, recipe, number, encoders) for number in range(len(config.retrieval))
        ],
        pairs=[on_pairs(run, number, encoders) for number in range(len(config.similarity))],
    )


def leaf(run: Run, recipe: LeafRecipe) -> Made:
    """The student, beside what it and its teacher find."""
    texts = texts_to_learn(run, recipe)
    run.so_far(lambda: Result(headline="kept_asymmetric", measures={}))
    run.progress.section("Encoder")
    run.round = 1
    outcome = distil_encoder(recipe.run, run=run, recipe=recipe, texts=texts)

    def made() -> Result:
        found = told(run.context.store, recipe, outcome)
        run.progress.result(found.verdict.line)
        return found.with_models(
            {"encoder": outcome.student, "router": outcome.router},
            {"encoder": outcome.student.meta["final_loss"]},
        )

    return made
