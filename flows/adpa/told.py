"""What a run of DCKD or ADPA says of itself: measures and sections of its report."""

from collections.abc import Sequence

from data.measures import Fact, Measure, Warned
from data.sections import Cell, Column, Counts, Row, Section, Table
from data.store.store import Store
from flows import instructions_told, judges_told
from flows.adpa.measures import of_run, read
from flows.adpa.recipe import AdpaRecipe
from flows.adpa.state import Outcome, Training
from flows.loop import sections as shared
from flows.loop import verdict_figures
from flows.loop.told import few_prompts
from flows.mass_told import FALL, alarm
from flows.opd.measures import APART
from flows.opd.told import chart, further, judged_by_teacher
from flows.result import Result
from flows.rounds_told import (
    Rates,
    answers,
    instructions,
    judged_fact,
    judgements,
    level,
    narrow,
    rates_of,
    result,
    verdict,
)
from reports.text import interval, percent

Measures = dict[str, Measure]
NAMES = {"sft": "SFT", "dpo": "DPO", "dckd": "DCKD", "adpa": "ADPA", "adpa+": "ADPA+"}


def told(store: Store, recipe: AdpaRecipe, done: Sequence[Outcome]) -> Result:
    """The result of a run, or what there is so far."""
    rates = rates_of(store, recipe, done)
    found = result(rates, done)
    by_judge = judges_told.win_rates(judgements(rates, done), found)
    rate = by_judge.get("win_rate")
    measures = by_judge | of_run(store, recipe, done)
    followed = instructions(store, recipe, done)
    measures |= instructions_told.measures(followed)
    return Result(
        headline="win_rate",
        measures=measures,
        sections=[
            *judged_by_teacher(recipe, found),
            *(sections(rates, done[0], measures) if done else []),
            *instructions_told.section(followed),
        ],
        method=method(recipe),
        verdict=verdict(recipe, rates, found, rate, "trained"),
        facts=facts(recipe, measures) if done else [],
        warnings=[*few_prompts(rate), *warnings(recipe, measures, done)],
        progress=progress(rates, measures, done[0]) if done else None,
    )


def method(recipe: AdpaRecipe) -> str:
    """What ran, in a few words."""
    if recipe.method == "sft":
        return "SFT on the chosen answers"
    if recipe.method == "dpo":
        return "DPO of the student, without a teacher"
    return f"{NAMES[recipe.method]} over the teacher's top {recipe.targets.k}"


def warnings(recipe: AdpaRecipe, measures: Measures, done: Sequence[Outcome]) -> list[Warned]:
    """A student that left the kept tokens; one that was to come nearer and went away."""
    masses = {
        one.name: one.policy.meta["kept_mass"]
        for outcome in done
        for one in outcome.trainings
        if "kept_mass" in one.policy.meta
    }
    falls = {f"in {name}": before - after for name, (before, after) in masses.items()}
    remedy = "raise targets.k, lower adpa.gamma or policy.learning_rate, or set adpa.clamp"
    rounds = [1] if any(fall > FALL for fall in falls.values()) else []
    found = alarm(falls, remedy, rounds)
    return found + (further(measures) if recipe.method == "dckd" else [])


def sections(rates: Rates, one: Outcome, measures: Measures) -> list[Section]:
    """Steps, the teacher, data sets, answers side by side, distance, ledger and drift."""
    rate = rates[one.number]
    made = [steps(one), teacher(measures), judges_told.datasets(rate), *judges_told.section(rate)]
    if said := verdict_figures.section(one.calls):
        made.append(said)
    made += [answers(one), distillation(measures), ledger(one)]
    drift = shared.drift(measures, [], length_known=True)
    charts = [block for block in drift.blocks if block.kind == "chart"]  # no rules, no warnings
    return [*made, drift.model_copy(update={"blocks": charts})]


def steps(one: Outcome) -> Section:
    """What every step of the method has learned from, and what that did."""
    titles = {
        "pairs learned": "count",
        "tokens learned": "count",
        "tokens read by teachers": "count",
        "loss, start": "",
        "loss, end": "",
        "mass on the kept tokens, start": "share",
        "mass on the kept tokens, end": "share",
        "expected advantage, start": "nats per token",
        "expected advantage, end": "nats per token",
    }
    columns = [Column(title="step"), *(Column(title=t, unit=unit) for t, unit in titles.items())]
    rows = [Row(cells=[each.name, *_learned(each)]) for each in one.trainings]
    return Section(
        name="steps",
        title="Step by step",
        hint="Each step starts from what the one before has left. The mass is the student's "
        "probability of the tokens that were kept of the teacher; the expected advantage is by how "
        "much more likely the aligned teacher finds the student's next token than its reference "
        "does.",
        blocks=[Table(title="Step by step", columns=columns, rows=rows)],
    )


def _learned(one: Training) -> list[Cell | int | float | str | None]:
    meta = one.policy.meta
    masses, gains = (meta.get(name, [None, None]) for name in ("kept_mass", "advantage"))
    counts = [meta["rows"], meta.get("learned_tokens"), read(one)]
    return [*counts, meta["first_loss"], meta["final_loss"], *masses, *gains]


def teacher(measures: Measures) -> Section:
    """How good the aligned teacher is, and the student beside it."""
    rows = []
    for name, who in (("teacher_win_rate", "aligned teacher"), ("win_rate", "student")):
        if one := measures.get(name):
            cell = Cell(value=one.value, ci95=one.ci95) if one.ci95 else Cell(value=one.value)
            rows.append(Row(cells=[who, cell]))
    columns = [Column(title="policy"), Column(title="win rate over base", unit="share")]
    hint = "Both against the student as it began, by the same judge on the same prompts."
    if one := measures.get("gap_closed"):
        hint += f" {percent(one.value)} of the teacher's lead in mean score is made up."
    table = Table(title="Teacher and student", columns=columns, rows=rows)
    return Section(name="teacher", title="Teacher and student", hint=hint, blocks=[table])


def distillation(measures: Measures) -> Section:
    """How near the student is to the aligned teacher."""
    return Section(
        name="distillation",
        title="Distance to the teacher",
        hint="Student and aligned teacher read the teacher's answers to held-out dev prompts; the "
        "divergences are exact, over the whole vocabulary. DCKD is to bring them down; ADPA need "
        "not.",
        blocks=[chart(measures[name]) for name in APART if name in measures],
    )


LOST = {
    "not_drawn": "not drawn",
    "held_out": "held out too",
    "exact": "held out but for case and white space",
    "8gram": "share eight words with a held-out prompt",
}


def ledger(one: Outcome) -> Section:
    """The prompts of the pairs, then each step's pairs; everything is counted once."""
    meta = one.pairs.meta
    split = [("drawn", meta["prompts"]), *((text, meta.get(why, 0)) for why, text in LOST.items())]
    levels = [level("prompts of the pairs", split)]
    for each in one.trainings:
        known = each.policy.meta
        split = [
            ("learned", known["rows"]),
            ("too long for the student", known["too_long"]),
            ("too long for a teacher, or empty", known.get("unread", 0)),
        ]
        levels.append(level(f"pairs for {each.name}", split))
    return Section(
        name="ledger",
        title="From pairs to what was learned",
        hint="The pairs align the teacher and teach the student. Each bar splits into what goes on "
        "(dark) and what is left out (light).",
        blocks=[Counts(title="Pairs", levels=levels)],
    )


def facts(recipe: AdpaRecipe, measures: Measures) -> list[Fact]:
    """By whose judgement, how good the teacher is, and the cost."""
    made = [judged_fact(recipe)]
    if one := measures.get("teacher_win_rate"):
        around = f" ({interval(one.ci95)})" if one.ci95 else ""
        text = f"over the student as it began{around}"
        made.append(Fact(title="The aligned teacher", value=percent(one.value), text=text))
    text = (
        f"the teachers read {measures['teacher_tokens'].value:,.0f} tokens, the student generated "
        f"{measures['tokens'].value:,.0f}; checks on held-out prompts come on top"
    )
    learned = measures["trained"].value
    return [*made, Fact(title="Pairs learned", value=f"{learned:,.0f}", text=text)]


def progress(rates: Rates, measures: Measures, one: Outcome) -> Table:
    """A line per step, narrow enough for a terminal; the last step's student is judged."""
    columns = [Column(title=name) for name in ("step", "pairs", "KL to teacher", "win rate")]
    last = len(one.trainings) - 1
    apart = measures.get("kl_to_teacher")
    said = [f"{apart.value:.3f}" if apart else "–", narrow(rates.get(one.number))]
    rows = [
        Row(
            cells=[
                each.name,
                f"{each.policy.meta['rows']:,}",
                *(said if place == last else ["–", "–"]),
            ]
        )
        for place, each in enumerate(one.trainings)
    ]
    return Table(columns=columns, rows=rows)
