"""The result of a bench as a table on the terminal, as Markdown, and as one HTML page."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from bench.columns import (
    COSTS,
    all_columns,
    behaviour,
    called,
    difference_in,
    over_worlds,
    plain,
    rows,
    short,
    world_columns,
    world_rows,
)
from bench.paired import range_covers
from bench.variants import Bench, BenchRecipe, BenchRun
from bench.worlds import units
from data.durations import duration
from data.summary import write_text
from reports.page import environment
from reports.plots import Effect, Point, Series, chart, forest
from reports.text import percent

__all__ = ["bench_html", "bench_markdown", "bench_table", "world_table", "write_text"]

LIBRARIES = ("tsalign", "python", "torch", "transformers", "trl", "prefect")
COVERS = {
    "worlds": "Intervals are 95 % over worlds (Student's t over their means)",
    "seeds": "Intervals are 95 % over seeds (Student's t)",
    "prompts": "With one seed, intervals of differences cover the choice of prompts only (95 %, "
    "paired bootstrap), not the luck of sampling and training",
}


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
    several = "worlds" if over_worlds(bench) else "seeds" if len(bench.seeds) > 1 else "prompts"
    over: set[str] = {one.over for one in compared} or {several}
    seeds = ", ".join(map(str, bench.seeds))
    found = [
        f"Equal {bench.equal}; judge: {bench.judge or 'none'}; seeds {seeds}. "
        + (
            "Figures are means over worlds."
            if over_worlds(bench)
            else "Figures are means over seeds."
        ),
        *(f"{COVERS[one]}." for one in sorted(over)),
        *world_notes(bench),
        *machine_notes(bench),
    ]
    if compared:
        within = "within each world and seed" if bench.worlds else "seed by seed"
        found.append(
            f"Differences are to the first recipe, {within}; their intervals are not corrected, "
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


def world_notes(bench: Bench) -> list[str]:
    """What worlds are, and how few they are."""
    if not bench.worlds:
        return []
    named = ", ".join(map(str, bench.worlds))
    found = [
        f"Worlds {named} (world.seed): each has tokenizer, policy, teacher, student and prompts of "
        "its own; the families of tasks and the judge are the same."
    ]
    if over_worlds(bench):
        count = len(bench.worlds)
        found.append(
            "A world counts once, by the mean of its seeds. Whatever worlds are distributed like, "
            f"the lowest and the highest of {count} lie around the median world in "
            f"{percent(range_covers(count))} of cases; 'one more world' is where a single other "
            "one would lie (95 %, Student's t)."
        )
    return found


def machine_notes(bench: Bench) -> list[str]:
    """In what the machines differ that the runs were made on."""
    return [
        f"The runs were not made on equal machines: {name} is {' or '.join(values)}."
        for name, values in bench.machines_differ.items()
    ]


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
    """The main columns, for a terminal; those of worlds take the place of what it has cost."""
    table = Table(title=f"{bench.name}: equal {bench.equal}", title_justify="left")
    hidden = COSTS if over_worlds(bench) else ()
    columns = {name: text for name, text in short(bench).items() if name not in hidden}
    for name in columns:
        table.add_column(name, justify="left" if name in ("recipe", "verdict") else "right")
    for row in rows(bench, columns):
        table.add_row(*row)
    return table


def world_table(bench: Bench) -> Table | None:
    """World by world, for a terminal; None where there is one."""
    if not over_worlds(bench):
        return None
    table = Table(title=f"{called(bench)}, world by world", title_justify="left")
    for name in world_columns(bench):
        table.add_column(name, justify="left" if name == "recipe" else "right")
    for row in world_rows(bench):
        table.add_row(*row)
    return table


def bench_markdown(bench: Bench) -> str:
    """Tables with everything that is needed to repeat them."""
    stages = [[name, *(plain(value, 2) for value in values)] for name, values in stage_rows(bench)]
    labels = [recipe.label for recipe in bench.recipes]
    parts = [
        f"# {bench.name}",
        f"```\n{bench.command}\n```",
        _table(list(all_columns(bench)), rows(bench, all_columns(bench))),
        "\n".join(f"- {note}" for note in notes(bench)),
        *_world_parts(bench),
        "Seconds per stage, to the judged round; an artifact counts once in a run, as long as it "
        "once took:",
        _table(["stage", *labels], stages),
        "\n".join(f"- {name}: {text}" for name, text in facts(bench).items() if name != "command"),
    ]
    return "\n\n".join(parts) + "\n"


def _world_parts(bench: Bench) -> list[str]:
    if not over_worlds(bench):
        return []
    title = f"{called(bench)[:1].upper()}{called(bench)[1:]}, world by world, with the difference"
    return [
        f"{title} to {bench.recipes[0].label}:",
        _table(world_columns(bench), world_rows(bench)),
    ]


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
            for columns in (short(bench), {"recipe": short(bench)["recipe"]} | behaviour(bench))
        ],
        notes=notes(bench),
        facts=facts(bench),
        forest=_forest(bench),
        curves=_curves(bench),
        stages=stages,
        longest=longest,
        measuring={n for r in bench.recipes for run in r.runs for n in run.measuring_seconds},
        points=difference_in(bench),
        called=called(bench),
        each="world" if over_worlds(bench) else "seed",
        worlds=(world_columns(bench), world_rows(bench)) if over_worlds(bench) else None,
    )


def _forest(bench: Bench) -> Any:
    effects, scale = [], 100 if bench.unit == "share" else 1
    for recipe in bench.recipes:
        found = recipe.difference
        if found:
            around = (scale * found.ci95[0], scale * found.ci95[1]) if found.ci95 else None
            single = [scale * one for one in units(recipe.runs, lambda run: run.difference)[0]]
            effects.append(Effect(recipe.label, scale * found.mean, around, single))
    if not effects:
        return ""
    base, name = bench.recipes[0].label, called(bench)
    title = f"Difference of {name} to {base}, with 95 % intervals"
    unit = ", points" if bench.unit in ("share", "points") else ""
    return forest(title, effects, f"{name} less that of {base}{unit}")


def _curves(bench: Bench) -> list[dict[str, Any]]:
    """A chart per recipe: its mean by round beside the baseline's."""
    base = bench.recipes[0]
    charts = []
    for recipe in bench.recipes[1:] or [base]:
        pair = [(base, "second")] * (recipe is not base) + [(recipe, "first")]
        series = [Series(f"{one.label}, round", _curve(one), style=style) for one, style in pair]
        rounds = max(len(run.curve) for one, _ in pair for run in one.runs)
        labels = [str(number) for number in range(1, rounds + 1)]
        drawn = chart(
            f"{called(bench)} of {recipe.label} by round, mean over runs",
            series,
            labels,
            unit=called(bench),
            line=bench.even,
            percent=bench.unit == "share",
            size=(300, 200),
        )
        charts.append({"label": recipe.label, "svg": drawn})
    return charts


def _curve(recipe: BenchRecipe) -> list[Point]:
    """Mean over the runs that evaluated a round, whether or not its policy was adopted."""
    found = []
    for place in range(max(len(run.curve) for run in recipe.runs)):
        curves = [run.curve for run in recipe.runs if len(run.curve) > place]
        values = [value for curve in curves if (value := curve[place]) is not None]
        if values:
            found.append(Point(place, sum(values) / len(values)))
    return found
