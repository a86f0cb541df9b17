"""AuroBind's fitness half: regression, lists of near ties, a fast student, a screening cascade.

A teacher is fitted to activities. The *listwise* stage goes on from it by the order of ranked lists
of one target each, *longer* by the values of the same rows in the same batches, so that the two
differ in nothing but the loss. The fast student learns the listwise teacher and screens with it.
"""

from data.recipes.fitness import SYNTHETIC, FastConfig, Objective, PreferenceConfig
from data.store.artifacts import Artifact
from flows.aurobind.recipe import AurobindRecipe
from flows.aurobind.state import FAST, LISTWISE, LONGER, RANKER, TEACHER, Data, Outcome, Screened
from flows.aurobind.told import told
from flows.result import Made, Result
from tasks.activities import (
    describe_molecules,
    describe_targets,
    import_activities,
    make_activities,
    part_activities,
)
from tasks.fitness import (
    estimate_confidence,
    fit_fitness,
    fit_ranker,
    predict_held_out,
    rank_lists,
    tune_fitness,
)
from tasks.running.keys import library_versions
from tasks.running.subflow import subflow
from tasks.screen import (
    clock,
    distil_fast,
    find_centroids,
    predict_fast_held_out,
    read_centroids,
    score_library,
    screen,
)
from tasks.stage import Run


def read(run: Run, recipe: AurobindRecipe) -> Data:
    """Activities, described and parted."""
    source, rdkit = recipe.activities, library_versions(("rdkit",))["rdkit"]
    if source.path == SYNTHETIC:
        activities = make_activities(config=source.synthetic, rdkit=rdkit)
    else:
        activities = import_activities(
            source=run.outside["activities.path"],
            columns=source.read_as,
            max_unreadable=source.max_unreadable,
            rdkit=rdkit,
        )
    molecules = describe_molecules(activities=activities, config=recipe.molecules, rdkit=rdkit)
    parts = part_activities(
        activities=activities, molecules=molecules, config=recipe.split, seed=recipe.seed
    )
    proteins = describe_targets(
        activities=activities,
        sequences=run.outside.get("activities.sequences"),
        config=recipe.targets,
    )
    return Data(activities, molecules, parts, proteins)


def confidences_of(recipe: AurobindRecipe, data: Data) -> Artifact | None:
    """How sure an ensemble is of what is learned; None where no list asks."""
    config = recipe.confidence
    if not recipe.lists.min_confidence:
        return None
    members = [
        fit_fitness.as_(f"member {number}")(
            **data.given, config=config.member, share=config.share, seed=recipe.seed + 1000 * number
        )
        for number in range(1, config.members + 1)
    ]
    return estimate_confidence(members=members, **data.given)


def teach(
    recipe: AurobindRecipe, data: Data
) -> tuple[dict[str, Artifact], Artifact, Artifact | None]:
    """The models that are compared, the lists, and how sure an ensemble is."""
    teacher = fit_fitness(**data.given, config=recipe.teacher, share=1.0, seed=recipe.seed)
    confidences = confidences_of(recipe, data)
    lists = rank_lists(
        activities=data.activities,
        parts=data.parts,
        confidences=confidences,
        config=recipe.lists,
        seed=recipe.seed,
    )
    models = {TEACHER: teacher}
    ranks = recipe.preference
    plain = PreferenceConfig(  # what is the listwise loss's alone is not in its key
        learning_rate=ranks.learning_rate,
        weight_decay=ranks.weight_decay,
        batch_lists=ranks.batch_lists,
    )
    tuned: tuple[tuple[str, Objective, PreferenceConfig], ...] = (
        (LONGER, "regression", plain),
        (LISTWISE, "listwise", ranks),
    )
    for who, objective, config in tuned:
        models[who] = tune_fitness.as_(who, measures=who == LONGER)(
            start=teacher,
            lists=lists,
            **data.given,
            config=config,
            objective=objective,
            seed=recipe.seed,
        )
    if recipe.ranker:
        models[RANKER] = fit_ranker.as_("", measures=True)(
            **data.given,
            config=recipe.ranker,
            lightgbm=library_versions(("lightgbm",))["lightgbm"],
            seed=recipe.seed,
        )
    return models, lists, confidences


def screened(
    recipe: AurobindRecipe, data: Data, teacher: Artifact, config: FastConfig
) -> tuple[Screened, Artifact]:
    """The fast student and what it finds; with its PREDICTIONS."""
    centroids = trunks = None
    if config.centroids:
        centroids = find_centroids(
            molecules=data.molecules, number=config.centroids, similarity=config.similarity
        )
        trunks = read_centroids(
            teacher=teacher,
            centroids=centroids,
            molecules=data.molecules,
            proteins=data.proteins,
        )
    student = distil_fast(
        teacher=teacher,
        trunks=trunks,
        centroids=centroids,
        **data.given,
        config=config,
        seed=recipe.seed,
    )
    part = recipe.cascade.part
    by_student = score_library.as_(FAST)(
        model=student, trunks=trunks, centroids=centroids, **data.given, part=part
    )
    hits = screen(scores=by_student, teacher=teacher, **data.given, config=recipe.cascade)
    by_teacher = score_library.as_(TEACHER, measures=True)(
        model=teacher, trunks=None, centroids=None, **data.given, part=part
    )
    speed = clock.as_("", measures=True)(
        teacher=teacher,
        student=student,
        trunks=trunks,
        centroids=centroids,
        **data.given,
        part=part,
    )
    predictions = predict_fast_held_out.as_("", measures=True)(
        student=student, trunks=trunks, centroids=centroids, **data.given
    )
    return Screened(centroids, student, hits, by_student, by_teacher, speed), predictions


@subflow("aurobind", run_name="{name} / aurobind")
def rank_and_screen(name: str, *, run: Run, recipe: AurobindRecipe, data: Data) -> Outcome:
    """Fit, list, tune, compare, screen."""
    models, lists, confidences = teach(recipe, data)
    predictions = {
        who: predict_held_out.as_(who, measures=True)(model=model, **data.given)
        for who, model in models.items()
    }
    found = None
    if recipe.student:
        found, predictions[FAST] = screened(recipe, data, models[LISTWISE], recipe.student)
    return Outcome(data, confidences, lists, models, predictions, found)


def aurobind(run: Run, recipe: AurobindRecipe) -> Made:
    """The listwise teacher and its fast student, beside what they are compared with."""
    data = read(run, recipe)
    run.so_far(lambda: Result(headline="near_gain", measures={}))
    run.progress.section("Ranking")
    run.round = 1
    outcome = rank_and_screen(recipe.run, run=run, recipe=recipe, data=data)

    def made() -> Result:
        found = told(run.context.store, recipe, outcome)
        run.progress.result(found.verdict.line)
        models = {"fitness": outcome.models[LISTWISE]}
        losses = {"fitness": outcome.models[LISTWISE].meta["final_loss"]}
        if outcome.screened:
            models["fast"] = outcome.screened.student
            losses["fast"] = outcome.screened.student.meta["final_loss"]
        return found.with_models(models, losses)

    return made
