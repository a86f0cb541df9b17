"""Columns of a bench's tables: what stands in the cell of a recipe."""

from collections.abc import Callable, Sequence

from bench.variants import Bench, BenchRecipe, BenchRun
from bench.worlds import units
from reports.text import ends, percent, score, signed, written


def mean(runs: Sequence[BenchRun], name: str) -> float | None:
    """Of a field over worlds or seeds; None where no run has it."""
    values, _ = units(runs, lambda run: getattr(run, name))
    return sum(values) / len(values) if values else None


def over_worlds(bench: Bench) -> bool:
    return len(bench.worlds) > 1


def plain(value: float | None, digits: int = 0) -> str:
    return "–" if value is None else f"{value:,.{digits}f}".replace("-", "\N{MINUS SIGN}")


def points(value: float, digits: int = 1) -> str:
    """A difference of shares in percentage points, with its sign."""
    return f"{100 * value:+.{digits}f}".replace("-", "\N{MINUS SIGN}")


def difference_in(bench: Bench) -> Callable[[float], str]:
    """How a difference of the measure is written: in points, where it is a share."""
    if bench.unit == "share":
        return points
    digits = 1 if bench.unit == "points" else 3
    return lambda value: signed(value, digits)


def called(bench: Bench) -> str:
    """The measure as it stands above a column."""
    return bench.short or bench.title or bench.measure.replace("_", " ")


def value(bench: Bench) -> Callable[[BenchRecipe], str]:
    def text(recipe: BenchRecipe) -> str:
        found = minus(ends(recipe.value.ci95, bench.unit))
        return written(recipe.value.mean, bench.unit) + (f" [{found}]" if found else "")

    return text


def difference(bench: Bench) -> Callable[[BenchRecipe], str]:
    """ "+1.8 [+0.2 to +3.4]", of shares in points."""
    shown = difference_in(bench)

    def text(recipe: BenchRecipe) -> str:
        found = recipe.difference
        if found is None:
            return "–"
        around = f" [{shown(found.ci95[0])} to {shown(found.ci95[1])}]" if found.ci95 else ""
        return shown(found.mean) + around

    return text


def verdict(recipe: BenchRecipe) -> str:
    return recipe.difference.verdict if recipe.difference else "baseline"


def smallest(bench: Bench) -> Callable[[BenchRecipe], str]:
    """Half the interval: what a difference would have to exceed to be shown."""

    def text(recipe: BenchRecipe) -> str:
        found = recipe.difference
        if found is None or found.ci95 is None:
            return "–"
        half = (found.ci95[1] - found.ci95[0]) / 2
        return f"{100 * half:.1f}" if bench.unit == "share" else score(half, 3)

    return text


def spread(bench: Bench) -> Callable[[BenchRecipe], str]:
    """The least and the most that one world gave."""
    return lambda recipe: minus(ends((recipe.value.low, recipe.value.high), bench.unit))


def deviation(bench: Bench) -> Callable[[BenchRecipe], str]:
    """Standard deviation between worlds, of shares in points."""
    scale, digits = (100, 1) if bench.unit == "share" else (1, 3)

    def text(recipe: BenchRecipe) -> str:
        found = recipe.value.deviation
        return plain(None if found is None else scale * found, digits)

    return text


def one_more(bench: Bench) -> Callable[[BenchRecipe], str]:
    """Where one more world would lie."""
    return lambda recipe: minus(ends(recipe.value.next, bench.unit)) or "–"


def ahead(bench: Bench) -> Callable[[BenchRecipe], str]:
    """In how many worlds a recipe's mean is better than the baseline's."""
    sign = -1 if bench.better == "lower" else 1

    def text(recipe: BenchRecipe) -> str:
        found = [one.difference for one in recipe.worlds if one.difference is not None]
        return f"{sum(sign * one > 0 for one in found)} of {len(found)}" if found else "–"

    return text


def minus(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")


def averaged(name: str, digits: int = 0) -> Callable[[BenchRecipe], str]:
    return lambda recipe: plain(mean(recipe.runs, name), digits)


def also(name: str, unit: str) -> Callable[[BenchRecipe], str]:
    """Another measure at the judged rounds, over worlds or seeds."""

    def text(recipe: BenchRecipe) -> str:
        values, _ = units(recipe.runs, lambda run: run.measures.get(name))
        return written(sum(values) / len(values), unit) if values else "–"

    return text


Columns = dict[str, Callable[[BenchRecipe], str]]
COSTS = ("rounds", "prompts", "generated tokens", "teacher calls", "method seconds")


def short(bench: Bench) -> Columns:
    """The main columns."""
    in_points = "difference, points" if bench.unit == "share" else "difference"
    worlds = over_worlds(bench)
    in_worlds: Columns = {"worlds": lambda recipe: str(len(recipe.worlds))} if worlds else {}
    between: Columns = {"lowest to highest": spread(bench)} if worlds else {}
    better: Columns = {"ahead in": ahead(bench)} if worlds else {}
    return {
        "recipe": lambda recipe: recipe.label,
        **in_worlds,
        "runs" if worlds else "seeds": lambda recipe: str(len(recipe.runs)),
        "rounds": averaged("rounds", 1),
        "prompts": averaged("prompts"),
        "generated tokens": averaged("tokens"),
        "teacher calls": averaged("teacher_calls"),
        "method seconds": averaged("seconds", 1),
        called(bench): value(bench),
        **between,
        in_points: difference(bench),
        **better,
        "verdict": verdict,
    }


KNOWN: Columns = {  # measures that have had a column of their own from the start
    "labels right": lambda recipe: percent(mean(recipe.runs, "label_precision")),
    "KL": averaged("kl_to_base", 2),
    "tokens per answer": averaged("mean_tokens", 1),
    "teacher reward": averaged("teacher_reward", 2),
}
OF_KNOWN = {"label_precision", "kl_to_base", "mean_tokens", "teacher_reward"}


def behaviour(bench: Bench) -> Columns:
    """What else was measured, beside the one that is compared."""
    names = dict.fromkeys(n for r in bench.recipes for run in r.runs for n in run.measures)
    shown = {n: x for n, x in bench.others.items() if n in names}
    columns = {"could have shown": smallest(bench)}
    if over_worlds(bench):
        columns |= {"between worlds": deviation(bench), "one more world": one_more(bench)}
    columns |= KNOWN if OF_KNOWN & names.keys() else {}
    rest = {n: x for n, x in shown.items() if n not in OF_KNOWN | {bench.measure}}
    return columns | {x.title: also(n, x.unit) for n, x in rest.items() if x.better}


def all_columns(bench: Bench) -> Columns:
    return short(bench) | behaviour(bench)


def rows(bench: Bench, columns: Columns) -> list[list[str]]:
    return [[value(recipe) for value in columns.values()] for recipe in bench.recipes]


def world_rows(bench: Bench) -> list[list[str]]:
    """Per recipe its name and, world by world, its value with the difference to the baseline."""
    shown = difference_in(bench)

    def cell(recipe: BenchRecipe, world: int) -> str:
        found = next((one for one in recipe.worlds if one.world == world), None)
        if found is None:
            return "–"
        more = "" if found.difference is None else f" ({shown(found.difference)})"
        return minus(written(found.value, bench.unit)) + more

    return [[one.label, *(cell(one, world) for world in bench.worlds)] for one in bench.recipes]


def world_columns(bench: Bench) -> list[str]:
    return ["recipe", *(f"world {world}" for world in bench.worlds)]
