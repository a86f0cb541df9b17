"""What a run of distillation over domains says of itself: measures and sections of its report."""

from collections.abc import Sequence

import pyarrow as pa

from data.measures import Fact, Measure, Verdict, Warned
from data.recipes.domains import Natural, Smoothed
from data.sections import Cell, Chart, Column, Point, Row, Section, Series, Table
from data.store.store import Store
from flows.ddk.measures import measured, mixtures, of_rounds, worst_of
from flows.ddk.recipe import DdkRecipe
from flows.ddk.state import Outcome
from flows.result import Result
from flows.rounds_told import value_of
from reports.text import ends, score

Measures = dict[str, Measure]


def told(store: Store, recipe: DdkRecipe, done: Sequence[Outcome]) -> Result:
    """The result of a run, or what there is so far."""
    mixed = mixtures(store, done)
    measures = of_rounds(recipe, done, mixed)
    if not done:
        return Result(headline="macro_gap", measures=measures, method=method(recipe))
    return Result(
        headline="macro_gap",
        measures=measures,
        sections=[intervals(recipe, done), history(mixed, done), domains(mixed, done)],
        method=method(recipe),
        verdict=verdict(measures["macro_gap"]),
        facts=facts(recipe, measures, done),
        warnings=[*noisy(measures), *clipped(recipe, mixed, done)],
        progress=progress(recipe, done),
    )


def method(recipe: DdkRecipe) -> str:
    """What ran, in a few words."""
    mixture = recipe.mixture
    if isinstance(mixture, Natural):
        by = "domains by their sizes"
    elif isinstance(mixture, Smoothed) and not mixture.alpha:
        by = "domains alike"
    else:
        alpha = mixture.alpha if isinstance(mixture, Smoothed) else None
        by = "DDK without smoothing" if alpha is None else f"DDK, alpha {alpha:g}"
        by += f", ratios up to {mixture.clip:g}" if mixture.clip else ", ratios as they are"
    losses = recipe.policy.losses.by_name.items()
    terms = " + ".join(f"{loss.weight:g} {name}" for name, loss in losses if loss.weight)
    return f"{by}; {terms}"


def verdict(gap: Measure) -> Verdict:
    """Whether the policy has come nearer to its teacher."""
    if gap.even is None:
        return Verdict()
    titles = {
        "good": "The policy has come nearer to its teacher",
        "bad": "The policy has gone away from its teacher",
        "unclear": "Not told apart from where the policy began",
    }
    around = f" ({ends(gap.ci95, gap.unit)})"
    value, first = score(gap.value, 3), score(gap.even, 3)
    line = f"Behind the teacher: {value} nats a token{around}, {first} at first"
    if gap.value < 0:  # less perplexed than its teacher
        titles["good"] = "The policy is ahead of its teacher, and went further"
        titles["bad"] = "The policy has fallen back to its teacher, and is ahead of it still"
        line = f"Gap to the teacher: {value} nats a token{around}, {first} at first; below 0 the "
        line += "policy is ahead, and such a teacher has little to teach it on these texts"
    text = (
        f"On held-out texts the log perplexity of the policy less the teacher's is {value} nats a "
        f"token{around} in the mean of domains; {first} before the first interval."
    )
    return Verdict(
        kind=gap.means,
        title=titles[gap.means],
        label="gap to the teacher, mean of domains, nats per token",
        text=text,
        line=line,
        short=f"gap {value}{around}",
        meaning=["It is measured on texts that took no part in training or mixing."],
    )


def intervals(recipe: DdkRecipe, done: Sequence[Outcome]) -> Section:
    """What every interval drew, and how far behind the policy was after it."""
    columns = [
        Column(title="interval"),
        Column(title="gap, mean of domains", unit="nats per token"),
        Column(title="gap, worst domain", unit="nats per token"),
        Column(title="which"),
        Column(title="texts drawn", unit="count"),
        Column(title="drawn before", unit="count"),
        Column(title="tokens learned", unit="count"),
    ]
    by_number = {one.number: one for one in done}
    rows = []
    for number, found in measured(done):
        name, worst = worst_of(found, recipe.apart)
        cells = [_cell(found["gap"]), _cell(worst), name, *_counts(by_number.get(number))]
        rows.append(Row(cells=[str(number) if number else "before the first", *cells]))
    title = "Interval by interval"
    return Section(
        name="rounds",
        title=title,
        hint="Before each interval the perplexities of policy and teacher on dev texts say how "
        "its texts are mixed from domains; the gaps after it are on test texts, which decide "
        "nothing.",
        blocks=[Table(title=title, columns=columns, rows=rows)],
    )


def _counts(one: Outcome | None) -> list[int | None]:
    """What an interval drew and learned; nothing before the first."""
    if one is None:
        return [None] * 3
    return [one.draw.rows, one.draw.meta["again"], one.policy.meta["learned_tokens"]]


def history(mixed: Sequence[pa.Table], done: Sequence[Outcome]) -> Section:
    """The weight of every domain by interval: a small chart each, and all in a table."""
    names = mixed[0]["dataset"].to_pylist()
    labels = [str(one.number) for one in done]
    by_interval = (one["factor"].to_pylist() for one in mixed)
    factors = dict(zip(names, zip(*by_interval, strict=True), strict=True))
    charts = [
        Chart(
            title=name,
            says=f"Weight of the domain {name} by interval",
            series=[Series(name=name, points=_points(values))],
            labels=labels,
            axis="interval",
            share=True,
            even=1 / len(names),
        )
        for name, values in factors.items()
    ]
    columns = [Column(title="domain")]
    columns += [Column(title=f"interval {label}", unit="share") for label in labels]
    rows = [Row(cells=[name, *values]) for name, values in factors.items()]
    return Section(
        name="mixture",
        title="The mixture by interval",
        hint="Weights of the domains (r of equations 1 and 2); dashed: an equal share. The first "
        "interval draws by the domains' sizes, unless domains are drawn alike; its weights are "
        "those that the second one's follow from.",
        blocks=[*charts, Table(title="Weights", columns=columns, rows=rows)],
    )


def domains(mixed: Sequence[pa.Table], done: Sequence[Outcome]) -> Section:
    """Domain by domain: texts, perplexities, and how far behind at first and in the end."""
    first, last = measured(done)[0][1]["domains"], measured(done)[-1][1]["domains"]
    drawn: dict[str, int] = {}
    for table in mixed:
        for name, number in zip(*(table[x].to_pylist() for x in ("dataset", "drawn")), strict=True):
            drawn[name] = drawn.get(name, 0) + number
    sizes = dict(zip(*(mixed[0][x].to_pylist() for x in ("dataset", "texts")), strict=True))
    columns = [
        Column(title="domain"),
        Column(title="texts to learn", unit="count"),
        Column(title="drawn", unit="count"),
        Column(title="teacher's perplexity"),
        Column(title="policy's at first"),
        Column(title="policy's in the end"),
        Column(title="gap at first", unit="nats per token"),
        Column(title="gap in the end", unit="nats per token"),
    ]
    rows = [
        Row(
            cells=[
                *(name, sizes[name], drawn[name]),
                *(one["teacher"], first[name]["student"], one["student"]),
                *(_cell(first[name]), _cell(one)),
            ]
        )
        for name, one in last.items()
    ]
    return Section(
        name="domains",
        title="Domain by domain",
        hint="Perplexities on held-out test texts, whose mixture is nobody's.",
        blocks=[Table(title="Domain by domain", columns=columns, rows=rows)],
    )


def noisy(measures: Measures) -> list[Warned]:
    """Intervals in which noise drew more than its share."""
    one = measures.get("noise_weight")
    if one is None or one.even is None:
        return []
    rounds = [point.round for point in one.rounds[1:] if point.value > one.even + 1e-9]
    if not rounds:
        return []
    return [
        Warned(
            section="mixture",
            rule="noise_weight",
            found="The domain of noise weighs more than an equal share.",
            reason="Neither model can learn it, so the weights do not follow what can be learned: "
            "lower mixture.clip, or train the teacher longer.",
            rounds=rounds,
        )
    ]


def clipped(recipe: DdkRecipe, mixed: Sequence[pa.Table], done: Sequence[Outcome]) -> list[Warned]:
    """Intervals in which most domains have the largest ratio that counts: they weigh alike."""
    clip = None if isinstance(recipe.mixture, Natural) else recipe.mixture.clip
    if clip is None or (isinstance(recipe.mixture, Smoothed) and not recipe.mixture.alpha):
        return []
    rounds = []
    for one, table in zip(done, mixed, strict=True):
        ratios = zip(*(table[name].to_pylist() for name in ("dataset", "ratio")), strict=True)
        counted = [ratio for name, ratio in ratios if name not in recipe.apart]
        if 2 * sum(ratio > clip - 1e-9 for ratio in counted) > len(counted):
            rounds.append(one.number)
    if not rounds:
        return []
    return [
        Warned(
            section="mixture",
            rule="clipped",
            found=f"In most domains the policy is at least {clip:g} times as perplexed as its "
            "teacher, which is as much as counts.",
            reason="The mixture cannot tell these domains apart, and draws them alike: train the "
            "policy further before, or raise mixture.clip.",
            rounds=rounds,
        )
    ]


def facts(recipe: DdkRecipe, measures: Measures, done: Sequence[Outcome]) -> list[Fact]:
    """The worst domain, and the cost."""
    worst = measures["worst_gap"]
    name, _ = worst_of(done[-1].gaps.meta, recipe.apart)
    learned, read = measures["learned_tokens"].value, measures["teacher_tokens"].value
    return [
        Fact(
            title="Worst domain",
            value=f"{worst.value:.3f}",
            text=f"nats per token of gap to the teacher in {name}; {worst.rounds[0].value:.3f} in "
            "the worst at first",
        ),
        Fact(
            title="Tokens learned",
            value=f"{learned:,.0f}",
            text=f"of {measures['trained'].value:,.0f} texts; the teacher read {read:,.0f}, those "
            "of texts drawn again once, and what is held out on top",
        ),
    ]


def progress(recipe: DdkRecipe, done: Sequence[Outcome]) -> Table:
    """A line per interval, narrow enough for a terminal."""
    columns = [Column(title=name) for name in ("interval", "tokens", "gap", "worst", "which")]
    rows = []
    for one in done:
        name, worst = worst_of(one.gaps.meta, recipe.apart)
        tokens = f"{one.policy.meta['learned_tokens']:,}"
        values = f"{one.gaps.meta['gap']['mean']:.3f}", f"{worst['mean']:.3f}"
        rows.append(Row(cells=[str(one.number), tokens, *values, name]))
    return Table(columns=columns, rows=rows)


def _cell(found: dict[str, float]) -> Cell:
    value = value_of(found)
    return Cell(value=value.value, ci95=value.ci95)


def _points(values: Sequence[float]) -> list[Point]:
    return [Point(x=place, value=value) for place, value in enumerate(values)]
