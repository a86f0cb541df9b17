"""The result of a bench as a table on the terminal, as Markdown, and as one HTML page."""

from collections.abc import Callable, Sequence
from typing import Any

from rich.table import Table

from bench.variants import Bench, BenchRecipe, BenchRun
from data.durations import duration
from data.summary import write_text
from reports.page import environment
from reports.plots import Effect, Point, Series, chart, forest
from reports.text import interval, percent

__all__ = ["bench_html", "bench_markdown", "bench_table", "write_text"]

LIBRARIES = ("tsalign", "python", "torch", "transformers", "trl", "prefect")
COVERS = {
    "seeds": "Intervals are 95 % over seeds (Student's t)",
    "prompts": "With one seed, intervals of differences cover the choice of prompts only (95 %, "
    "paired bootstrap), not the luck of sampling and training",
}


def mean(runs: Sequence[BenchRun], name: str) -> float | None:
    """Of a field over seeds; None where no run has it."""
    values = [value for run in runs if (value := getattr(run, name)) is not None]
    return sum(values) / len(values) if values else None


def plain(value: float | None, digits: int = 0) -> str:
    return "–" if value is None else f"{value:,.{digits}f}".replace("-", "\N{MINUS SIGN}")


def points(value: float, digits: int = 1) -> str:
    """A difference of shares in percentage points, with its sign."""
    return f"{100 * value:+.{digits}f}".replace("-", "\N{MINUS SIGN}")


def win_rate(recipe: BenchRecipe) -> str:
    ends = recipe.win_rate.ci95
    around = f" [{interval(ends)}]".replace("-", "\N{MINUS SIGN}") if ends else ""
    return percent(recipe.win_rate.mean) + around


def difference(recipe: BenchRecipe) -> str:
    """ "+1.8 [+0.2 to +3.4]", in points."""
    found = recipe.difference
    if found is None:
        return "–"
    ends = f" [{points(found.ci95[0])} to {points(found.ci95[1])}]" if found.ci95 else ""
    return points(found.mean) + ends


def verdict(recipe: BenchRecipe) -> str:
    return recipe.difference.verdict if recipe.difference else "baseline"


def smallest(recipe: BenchRecipe) -> str:
    """Half the interval: what a difference would have to exceed to be shown, in points."""
    found = recipe.difference
    if found is None or found.ci95 is None:
        return "–"
    return f"{50 * (found.ci95[1] - found.ci95[0]):.1f}"


def averaged(name: str, digits: int = 0) -> Callable[[BenchRecipe], str]:
    return lambda recipe: plain(mean(recipe.runs, name), digits)


SHORT: dict[str, Callable[[BenchRecipe], str]] = {
    "recipe": lambda recipe: recipe.label,
    "seeds": lambda recipe: str(len(recipe.runs)),
    "rounds": averaged("rounds", 1),
    "prompts": averaged("prompts"),
    "generated tokens": averaged("tokens"),
    "teacher calls": averaged("teacher_calls"),
    "method seconds": averaged("seconds", 1),
    "win rate": win_rate,
    "difference, points": difference,
    "verdict": verdict,
}
BEHAVIOUR: dict[str, Callable[[BenchRecipe], str]] = {
    "could have shown": smallest,
    "labels right": lambda recipe: percent(mean(recipe.runs, "label_precision")),
    "KL": averaged("kl_to_base", 2),
    "tokens per answer": averaged("mean_tokens", 1),
    "teacher reward": averaged("teacher_reward", 2),
}
COLUMNS = SHORT | BEHAVIOUR


def rows(bench: Bench, columns: dict[str, Callable[[BenchRecipe], str]]) -> list[list[str]]:
    return [[value(recipe) for value in columns.values()] for recipe in bench.recipes]


def stage_rows(bench: Bench) -> list[tuple[str, list[float]]]:
    """(stage, mean seconds of every recipe) in the order of a round; what measures comes last."""
    runs = [run for recipe in bench.recipes for run in recipe.runs]
    names = dict.fromkeys(name for run in runs for name in run.stage_seconds)
    names |= dict.fromkeys(name for run in runs for name in run.measuring_seconds)

    def seconds(run: BenchRun, name: str) -> float:
        return (run.stage_seconds | run.measuring_seconds).get(name, 0.0)

    return [
        (name, [sum(seconds(run, name) for run in r.runs) / len(r.runs) for r in bench.recipes])
        for name in names
    ]


def notes(bench: Bench) -> list[str]:
    """What a reader must know to read the table."""
    compared = [recipe.difference for recipe in bench.recipes if recipe.difference]
    over = {found.over for found in compared} or {"seeds" if len(bench.seeds) > 1 else "prompts"}
    found = [
        f"Equal {bench.equal}; judge: {bench.judge}; seeds {', '.join(map(str, bench.seeds))}. "
        "Figures are means over seeds.",
        *(f"{COVERS[one]}." for one in sorted(over)),
    ]
    if compared:
        found.append(
            "Differences are to the first recipe, seed by seed; their intervals are not corrected, "
            f"the verdicts are (Holm, {len(compared)} comparison{'s' * (len(compared) > 1)}, 5 %)."
        )
    dear = [run.run for recipe in bench.recipes for run in recipe.runs if run.over_budget]
    if dear:
        found.append(f"Over budget in the first evaluated round: {', '.join(dear)}.")
    refused = [run.run for r in bench.recipes for run in r.runs if run.judged_round is None]
    if refused:
        found.append(f"No policy adopted, so judged as the base: {', '.join(refused)}.")
    found += [f"Failed: {failure.run}: {failure.error}" for failure in bench.failures]
    return found


def facts(bench: Bench) -> dict[str, str]:
    """Where the figures come from."""
    return {
        "command": bench.command,
        "machine": ", ".join(f"{name} {value}" for name, value in bench.machine.items()),
        "versions": ", ".join(f"{n} {bench.versions[n]}" for n in LIBRARIES if n in bench.versions),
        "computed": f"{duration(bench.computed_seconds)} of stages, shared artifacts once; "
        f"{duration(bench.unshared_seconds)} had every run computed its own",
        "this invocation": f"{duration(bench.seconds)}, ended {bench.finished}",
    }


def bench_table(bench: Bench) -> Table:
    """The main columns, for a terminal."""
    table = Table(title=f"{bench.name}: equal {bench.equal}", title_justify="left")
    for name in SHORT:
        table.add_column(name, justify="left" if name in ("recipe", "verdict") else "right")
    for row in rows(bench, SHORT):
        table.add_row(*row)
    return table


def bench_markdown(bench: Bench) -> str:
    """Tables with everything that is needed to repeat them."""
    stages = [[name, *(plain(value, 2) for value in values)] for name, values in stage_rows(bench)]
    labels = [recipe.label for recipe in bench.recipes]
    parts = [
        f"# {bench.name}",
        f"```\n{bench.command}\n```",
        _table(list(COLUMNS), rows(bench, COLUMNS)),
        "\n".join(f"- {note}" for note in notes(bench)),
        "Seconds per stage, to the judged round; an artifact counts once in a run, as long as it "
        "once took:",
        _table(["stage", *labels], stages),
        "\n".join(f"- {name}: {text}" for name, text in facts(bench).items() if name != "command"),
    ]
    return "\n\n".join(parts) + "\n"


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    cells = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def bench_html(bench: Bench) -> str:
    """The page; all text of users is escaped."""
    page = environment().get_template("bench_report.html.j2")
    stages = stage_rows(bench)
    longest = max((sum(values) for values in zip(*(v for _, v in stages), strict=True)), default=0)
    return page.render(
        bench=bench,
        tables=[
            {"columns": list(columns), "rows": rows(bench, columns)}
            for columns in (SHORT, {"recipe": SHORT["recipe"]} | BEHAVIOUR)
        ],
        notes=notes(bench),
        facts=facts(bench),
        forest=_forest(bench),
        curves=_curves(bench),
        stages=stages,
        longest=longest,
        measuring={n for r in bench.recipes for run in r.runs for n in run.measuring_seconds},
        points=points,
    )


def _forest(bench: Bench) -> Any:
    effects = []
    for recipe in bench.recipes:
        found = recipe.difference
        if found:
            ends = (100 * found.ci95[0], 100 * found.ci95[1]) if found.ci95 else None
            seeds = [100 * run.difference for run in recipe.runs if run.difference is not None]
            effects.append(Effect(recipe.label, 100 * found.mean, ends, seeds))
    if not effects:
        return ""
    title = f"Difference of win rates to {bench.recipes[0].label}, with 95 % intervals"
    return forest(title, effects, f"win rate less that of {bench.recipes[0].label}, points")


def _curves(bench: Bench) -> list[dict[str, Any]]:
    """A chart per recipe: its mean win rate by round beside the baseline's."""
    base = bench.recipes[0]
    charts = []
    for recipe in bench.recipes[1:] or [base]:
        pair = [(base, "second")] * (recipe is not base) + [(recipe, "first")]
        series = [Series(f"{one.label}, round", _curve(one), style=style) for one, style in pair]
        rounds = max(len(run.curve) for one, _ in pair for run in one.runs)
        labels = [str(number) for number in range(1, rounds + 1)]
        drawn = chart(
            f"Win rate of {recipe.label} by round, mean over seeds",
            series,
            labels,
            unit="win rate",
            line=0.5,
            percent=True,
            size=(300, 200),
        )
        charts.append({"label": recipe.label, "svg": drawn})
    return charts


def _curve(recipe: BenchRecipe) -> list[Point]:
    """Mean over the seeds that evaluated a round, whether or not its policy was adopted."""
    found = []
    for place in range(max(len(run.curve) for run in recipe.runs)):
        curves = [run.curve for run in recipe.runs if len(run.curve) > place]
        values = [value for curve in curves if (value := curve[place]) is not None]
        if values:
            found.append(Point(place, sum(values) / len(values)))
    return found
