"""What a run of best-of-n distillation says of itself: measures and sections of its report."""

from collections.abc import Sequence

from data.measures import Fact, Measure
from data.sections import Cell, Column, Counts, Level, Row, Section, Table
from data.store.store import Store
from data.summary import Final, FunctionRewards, PromptSource
from flows import instructions_told, judges_told
from flows.best_of_n.measures import of_rounds
from flows.best_of_n.recipe import BestOfNRecipe
from flows.best_of_n.state import Outcome
from flows.loop import reward_figures, verdict_figures
from flows.loop import sections as shared
from flows.loop.sources_told import blocks as of_sources
from flows.loop.state import Pool
from flows.loop.summary import sources
from flows.loop.told import few_prompts
from flows.loop.wording import TOO_LONG, adoption, unread
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


def told(store: Store, recipe: BestOfNRecipe, pool: Pool, done: Sequence[Outcome]) -> Result:
    """The result of a run, or what there is so far."""
    rates = rates_of(store, recipe, done)
    found = result(rates, done)
    by_judge = judges_told.win_rates(judgements(rates, done), found)
    rate = by_judge.get("win_rate")
    measures = by_judge | of_rounds(recipe, done)
    followed = instructions(store, recipe, done)
    measures |= instructions_told.measures(followed)
    read = sources(pool)
    return Result(
        headline="win_rate",
        measures=measures,
        sections=[
            *judged_by_teacher(recipe, found),
            *sections(recipe, rates, read, done, measures),
            *instructions_told.section(followed),
        ],
        method=f"best-of-{recipe.generate.k} distillation, picked by the {recipe.scorer}",
        verdict=verdict(recipe, rates, found, rate, part(recipe)),
        facts=facts(recipe, measures) if done else [],
        warnings=few_prompts(rate),
        progress=progress(rates, done) if done else None,
        sources=read,
    )


def part(recipe: BestOfNRecipe) -> str:
    """What the teacher did for the policy."""
    return "trained" if recipe.scorer == "teacher" else "chose"


def sections(
    recipe: BestOfNRecipe,
    rates: Rates,
    read: Sequence[PromptSource],
    done: Sequence[Outcome],
    measures: dict[str, Measure],
) -> list[Section]:
    """Rounds, data sets, answers side by side, what became of the answers, and drift."""
    if not done:
        return []
    made = [rounds_table(recipe, rates, done)]
    judged = [one for one in done if one.judged]
    if judged:
        one = (kept(done) or judged)[-1]
        rate = rates[one.number]
        made += [judges_told.datasets(rate), *judges_told.section(rate)]
        if said := verdict_figures.section(call for one in done for call in one.calls):
            made.append(said)
        made.append(answers(one))
    made.append(ledger(recipe, read, done))
    if told := reward_figures.section([(one.number, functions(recipe, one)) for one in done]):
        made.append(told)
    if judged:
        drift = shared.drift(measures, [], length_known=True)
        charts = [block for block in drift.blocks if block.kind == "chart"]  # no rules, no warnings
        made.append(drift.model_copy(update={"blocks": charts}))
    return made


def functions(recipe: BestOfNRecipe, one: Outcome) -> dict[str, FunctionRewards]:
    """What the teacher's reward functions gave, if it is some."""
    rewards = [side.rewards for side in (one.judged.base, one.judged.policy)] if one.judged else []
    base, policy = rewards or (None, None)
    picking = one.scores.meta if recipe.scorer == "teacher" else {}
    return reward_figures.function_rewards(picking, base, policy)


def judged_by_teacher(recipe: BestOfNRecipe, found: Final | None) -> list[Section]:
    """What it means that the teacher alone has judged; nothing where another judge has."""
    return teacher_alone(
        recipe,
        found,
        "The teacher has decided which policies were kept, and unless the student picked the "
        "answers also what was learned, and has judged the result. So {} says how often the "
        "teacher, not a person, prefers the new answers.".format,
    )


def rounds_table(recipe: BestOfNRecipe, rates: Rates, done: Sequence[Outcome]) -> Section:
    columns = [
        Column(title="round"),
        Column(title="win rate over base", unit="share"),
        Column(title="wins / ties / losses"),
        Column(title="prompts answered", unit="count"),
        Column(title="answers learned", unit="count"),
        Column(title="teacher prefers new policy", unit="share"),
        Column(title="adopted"),
    ]
    rows = [Row(cells=[str(one.number), *judged_cells(rates, one), *_learned(one)]) for one in done]
    table = Table(title="Round by round", columns=columns, rows=rows)
    hint = (
        "In each round the policy answers new prompts several times and is fine-tuned on the best "
        "answer to each."
    ) + adoption(recipe.model_dump(mode="json"))
    return Section(name="rounds", title="Round by round", hint=hint, blocks=[table])


def _learned(one: Outcome) -> list[int | float | str | None]:
    gated = one.judged.gate.meta["win_rate"] if one.judged and one.judged.gate else None
    return [one.asked.rows, one.policy.meta["rows"], gated, "yes" if one.adopted else "no"]


def ledger(recipe: BestOfNRecipe, read: Sequence[PromptSource], done: Sequence[Outcome]) -> Section:
    """The prompts of each source, then from asked to learned; everything is counted once."""
    blocks = of_sources(read)
    blocks += [Counts(title=f"Round {one.number}", levels=levels(recipe, one)) for one in done]
    return Section(
        name="ledger",
        title="From asked to learned",
        hint=f"The policy answers every prompt {recipe.generate.k} times, the {recipe.scorer} "
        "scores the usable answers, and the policy is fine-tuned on the best one of each prompt. "
        "Each bar splits into what goes on (dark) and what is left out (light).",
        blocks=blocks,
    )


def levels(recipe: BestOfNRecipe, one: Outcome) -> list[Level]:
    """What answers, prompts and picked answers split into; the first part is kept."""
    x, policy = one.picked.meta, one.policy.meta
    lacking = unread(recipe.teacher.model) if recipe.scorer == "teacher" else TOO_LONG
    return [
        level(
            f"answers to {one.asked.rows:,} prompts",
            [
                ("usable", x["usable"]),
                ("said before", x["duplicate"]),
                ("cut off", x["truncated"]),
                (f"{lacking} the {recipe.scorer}", x["unscored"]),
                ("empty", x["empty"]),
            ],
        ),
        level(
            "prompts",
            [
                ("gave an answer to learn", x["picked"]),
                ("had fewer than two usable answers", x["no_candidates"]),
                (f"all answers alike to the {recipe.scorer}", x["tied"]),
            ],
        ),
        level(
            "answers picked",
            [("learned by the policy", policy["rows"]), ("too long", policy["too_long"])],
        ),
    ]


def facts(recipe: BestOfNRecipe, measures: dict[str, Measure]) -> list[Fact]:
    """By whose judgement, and the cost."""
    calls, tokens = measures["teacher_calls"].value, measures["tokens"].value
    learned, asked = measures["trained"].value, measures["prompts"].value
    said = "answers scored to pick the best"
    if recipe.scorer == "student":
        said = "none to pick: the student does. Checks on dev and test prompts come on top"
    return [
        judged_fact(recipe),
        Fact(title="Teacher calls", value=f"{calls:,.0f}", text=said),
        Fact(
            title="Answer tokens",
            value=f"{tokens:,.0f}",
            text=f"generated to train, for {learned:,.0f} answers learned, from {asked:,.0f} "
            "prompts",
        ),
    ]


def progress(rates: Rates, done: Sequence[Outcome]) -> Table:
    """A line per round, narrow enough for a terminal."""
    columns = [Column(title=name) for name in ("round", "answers", "gain", "win rate", "adopted")]
    return Table(columns=columns, rows=[Row(cells=_line(rates, one)) for one in done])


def _line(rates: Rates, one: Outcome) -> list[Cell | int | float | str | None]:
    x, meta = rates.get(one.number), one.picked.meta
    gain = meta["reward_of_picked"] - meta["reward_of_usable"]
    adopted = "yes" if one.adopted else "no"
    return [str(one.number), f"{one.policy.meta['rows']:,}", f"{gain:+.2f}", narrow(x), adopted]
