"""What a run of distillation says of itself: measures and sections of its report."""

from collections.abc import Sequence

from data.measures import Fact, Measure, Warned
from data.sections import (
    Cell,
    Chart,
    Column,
    Counts,
    Level,
    Row,
    Section,
    Series,
    Table,
)
from data.store.store import Store
from data.summary import Final, PromptSource
from flows import distance_told, instructions_told, judges_told
from flows.loop import sections as shared
from flows.loop import verdict_figures
from flows.loop.sources_told import blocks as of_sources
from flows.loop.state import Pool
from flows.loop.summary import sources
from flows.loop.told import few_prompts
from flows.mass_told import FALL, alarm
from flows.opd.measures import APART, of_rounds
from flows.opd.recipe import OpdRecipe
from flows.opd.state import Outcome
from flows.policy_recipe import PolicyRecipe
from flows.result import Result
from flows.rounds_told import (
    Rates,
    answers,
    instructions,
    judged_cells,
    judged_fact,
    judgements,
    kept,
    level,
    narrow,
    rates_of,
    result,
    teacher_alone,
    verdict,
)

Measures = dict[str, Measure]


def told(store: Store, recipe: OpdRecipe, pool: Pool, done: Sequence[Outcome]) -> Result:
    """The result of a run, or what there is so far."""
    rates = rates_of(store, recipe, done)
    found = result(rates, done)
    by_judge = judges_told.win_rates(judgements(rates, done), found)
    rate = by_judge.get("win_rate")
    measures = by_judge | of_rounds(done)
    followed = instructions(store, recipe, done)
    measures |= instructions_told.measures(followed)
    distance = measures.get("kl_to_teacher")
    watches = distance_told.watched(distance, distance_told.steps_by_round(done), recipe.monitor)
    read = sources(pool)
    own = recipe.answers == "policy"
    return Result(
        headline="win_rate",
        measures=measures,
        sections=[
            *judged_by_teacher(recipe, found),
            *sections(recipe, rates, read, done, measures),
            *distance_told.section(watches, distance.unit if distance else ""),
            *instructions_told.section(followed),
        ],
        method=("on-policy" if own else "knowledge") + " distillation, "
        f"{' + '.join(recipe.policy.losses.by_name)} over the teacher's top {recipe.targets.k}",
        verdict=verdict(recipe, rates, found, rate, "trained"),
        facts=facts(recipe, measures) if done else [],
        warnings=[
            *distance_told.warned(watches),
            *few_prompts(rate),
            *fallen(measures),
            *further(measures),
        ],
        progress=progress(rates, measures, done) if done else None,
        sources=read,
    )


def fallen(measures: Measures) -> list[Warned]:
    """Rounds whose training took probability away from what the teacher would say."""
    if "kept_mass" not in measures:
        return []
    pairs = zip(measures["kept_mass_before"].rounds, measures["kept_mass"].rounds, strict=True)
    falls = {after.round: before.value - after.value for before, after in pairs}
    return alarm(
        {f"in round {number}": fall for number, fall in falls.items()},
        "raise targets.k, or give forward_kl more weight",
        [number for number, fall in falls.items() if fall > FALL],
    )


def further(measures: Measures) -> list[Warned]:
    """A policy that is further from its teacher than it began."""
    one = measures.get("kl_to_teacher")
    if one is None or one.rounds[-1].value <= one.rounds[0].value:
        return []
    first, last = one.rounds[0].value, one.rounds[-1].value
    return [
        Warned(
            section="distillation",
            rule="further_from_teacher",
            found=f"On held-out prompts the policy is further from the teacher than the base: "
            f"{last:.3f} nats per token, {first:.3f} at first.",
            reason="Lower policy.learning_rate or policy.epochs, or ask more prompts.",
            rounds=[one.rounds[-1].round],
        )
    ]


def judged_by_teacher(recipe: PolicyRecipe, found: Final | None) -> list[Section]:
    """What it means that the teacher alone has judged; nothing where another judge has."""
    return teacher_alone(
        recipe,
        found,
        "The teacher judges by how likely it finds an answer, the mean log-probability of its "
        "tokens. So {} says how often the new answers are more like what the teacher would have "
        "said, not that they are better: likely answers are often short and plain.".format,
    )


def sections(
    recipe: OpdRecipe,
    rates: Rates,
    read: Sequence[PromptSource],
    done: Sequence[Outcome],
    measures: Measures,
) -> list[Section]:
    """Rounds, distance to the teacher, data sets, answers side by side, ledger and drift."""
    if not done:
        return []
    made = [rounds_table(recipe, rates, done)]
    if judged := kept(done):
        rate = rates[judged[-1].number]
        made += [judges_told.datasets(rate), *judges_told.section(rate)]
        if said := verdict_figures.section(call for one in done for call in one.calls):
            made.append(said)
        made.append(answers(judged[-1]))
    made += [distillation(recipe, measures), ledger(recipe, read, done)]
    if judged:
        drift = shared.drift(measures, [], length_known=True)
        charts = [block for block in drift.blocks if block.kind == "chart"]  # no rules, no warnings
        made.append(drift.model_copy(update={"blocks": charts}))
    return made


def rounds_table(recipe: OpdRecipe, rates: Rates, done: Sequence[Outcome]) -> Section:
    columns = [
        Column(title="round"),
        Column(title="win rate over base", unit="share"),
        Column(title="wins / ties / losses"),
        Column(title="prompts answered", unit="count"),
        Column(title="answers learned", unit="count"),
        Column(title="tokens learned", unit="count"),
        Column(title="KL to the teacher", unit="nats per token"),
    ]
    rows = [Row(cells=[str(one.number), *judged_cells(rates, one), *_learned(one)]) for one in done]
    table = Table(title="Round by round", columns=columns, rows=rows)
    who = (
        "new prompts have recorded answers" if recipe.recorded else f"the {recipe.answers} answers"
    )
    hint = (
        f"In each round {who}, the teacher says at every position of the answers what it would "
        "have said, and the policy learns that. Every round's policy is kept."
    )
    return Section(name="rounds", title="Round by round", hint=hint, blocks=[table])


def _learned(one: Outcome) -> list[Cell | int | float | str | None]:
    meta = one.policy.meta
    measured = one.judged.apart if one.judged else None
    apart = measured.meta["forward_kl"] if measured else None
    far = Cell(value=apart["mean"], ci95=tuple(apart["ci95"])) if apart else None
    return [one.asked.rows, meta["rows"], meta["learned_tokens"], far]


_EXACT = (
    "Both models read the teacher's answers to held-out dev prompts; the divergences are exact, "
    "over the whole vocabulary."
)
_ELSEWHERE = (
    "A teacher answers behind a server, which does not tell its whole distribution: how far the "
    "policy is from it has not been computed."
)


def distillation(recipe: OpdRecipe, measures: Measures) -> Section:
    """How near the policy has come to the teacher, and what the training did to its mass."""
    charts = []
    for name in APART:
        if name in measures:
            charts.append(chart(measures[name]))
    columns = [Column(title="round"), *(Column(title=t, unit="share") for t in MASSES.values())]
    curves = [measures[name].rounds for name in MASSES if name in measures]
    rows = [
        Row(cells=[str(values[0].round), *(one.value for one in values)])
        for values in zip(*curves, strict=True)
    ]
    title = "Probability of the tokens kept of the teacher"
    return Section(
        name="distillation",
        title="Distance to the teacher",
        hint=(_ELSEWHERE if recipe.teacher.served else _EXACT)
        + " The training sees of the teacher only its most likely tokens: the table has how much "
        "of each distribution these hold.",
        blocks=[*charts, Table(title=title, columns=columns, rows=rows)],
    )


MASSES = {
    "teacher_kept_mass": "teacher",
    "kept_mass_before": "policy, start of the training",
    "kept_mass": "policy, end of the training",
}


def chart(measure: Measure) -> Chart:
    """By round, from the base on."""
    numbers = [one.round for one in measure.rounds]
    return Chart(
        title=measure.title,
        says=f"{measure.title}, {measure.unit}, by round",
        series=[Series(name=measure.title, points=shared.points(measure.rounds, numbers))],
        labels=["base" if number == 0 else str(number) for number in numbers],
        unit=measure.unit,
        caption=measure.about,
    )


def ledger(recipe: OpdRecipe, read: Sequence[PromptSource], done: Sequence[Outcome]) -> Section:
    """The prompts of each source, then from asked to learned; everything is counted once."""
    answerer = "A file has answers to" if recipe.recorded else f"The {recipe.answers} answers"
    blocks = of_sources(read)
    blocks += [Counts(title=f"Round {one.number}", levels=[answered(one)]) for one in done]
    return Section(
        name="ledger",
        title="From asked to learned",
        hint=f"{answerer} every prompt; the teacher reads the answers, and the "
        "policy learns from those that both can read whole. Each bar splits into what goes on "
        "(dark) and what is left out (light).",
        blocks=blocks,
    )


def answered(one: Outcome) -> Level:
    """What the answers of a round split into."""
    meta = one.policy.meta
    split = [
        ("learned by the policy", meta["rows"]),
        ("too long for the policy", meta["too_long"]),
        ("too long for the teacher, or empty", meta["unread"]),
    ]
    return level(f"answers to {one.asked.rows:,} prompts", split)


def facts(recipe: OpdRecipe, measures: Measures) -> list[Fact]:
    """By whose judgement, how near the teacher is, and the cost."""
    learned, read = measures["learned_tokens"].value, measures["teacher_tokens"].value
    made = [
        judged_fact(recipe),
        Fact(
            title="Tokens learned",
            value=f"{learned:,.0f}",
            text=f"of {measures['trained'].value:,.0f} answers; the teacher read {read:,.0f}, and "
            "those of checks on held-out prompts on top",
        ),
    ]
    if one := measures.get("kl_to_teacher"):
        first, last = one.rounds[0].value, one.rounds[-1].value
        text = f"nats per token on held-out prompts, {first:.3f} at first"
        made.insert(1, Fact(title="KL to the teacher", value=f"{last:.3f}", text=text))
    return made


def progress(rates: Rates, measures: Measures, done: Sequence[Outcome]) -> Table:
    """A line per round, narrow enough for a terminal."""
    columns = [Column(title=name) for name in ("round", "tokens", "KL to teacher", "win rate")]
    known = measures["kl_to_teacher"].rounds if "kl_to_teacher" in measures else []
    apart = {one.round: f"{one.value:.3f}" for one in known}
    rows = [
        Row(
            cells=[
                str(one.number),
                f"{one.policy.meta['learned_tokens']:,}",
                apart.get(one.number, "–"),
                narrow(rates.get(one.number)),
            ]
        )
        for one in done
    ]
    return Table(columns=columns, rows=rows)
