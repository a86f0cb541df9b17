"""What can be checked before any work: no Prefect, no store, no training.

The command line checks before it starts Prefect, the flow checks for deployments, which start
without the command line. Files come first, in a second; chat templates last, for transformers.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from data.errors import InputError
from data.files import check_regular
from data.matrix import cell_pairs
from data.paths import named_path
from data.readers.logged import held_out_split, judged_only, read_logged
from data.readers.logged_pairs import judged_pairs
from data.readers.preferences import read_preferences
from data.readers.prompts import looks_like_file, read_prompt_file, split_prompts, without_prompts
from data.readers.recorded_cells import read_answers
from data.recipes.recipe import WORLD, PromptsConfig, Recipe, RuntimeConfig
from flows.preflight.findings import Findings
from flows.preflight.labels import check_own_labels
from flows.preflight.models import cell_field, check_loading, check_models, check_rendering
from flows.preflight.prompts import Prompt, Prompts, PromptTable
from models.training.trackers import MODULES
from tasks.running import machine


def check_inputs(recipe: Recipe) -> list[str]:
    """Everything the recipe names: engine, models, prompts, recorded files, chat templates.

    Returns notes: what is no error and yet not what one would expect, a line each.

    Raises:
        InputError: one line that names the field, the file and the line, and the remedy.
        InputErrors: such a line for each problem. Those of files come first and alone, for they
            are found in a second; then those of chat templates; then those of weights.
    """
    found = Findings()
    models, prompts, replay = check_files(recipe, found)
    found.refuse()
    if models:
        check_rendering(recipe, models, prompts, replay, found)
        found.refuse()
        check_loading(recipe, models, found)
        found.refuse()
    return found.notes


class Inspection(NamedTuple):
    """What preflight finds of a recipe: problems and notes, its models by field, its prompts."""

    findings: Findings
    models: dict[str, Path]
    prompts: Prompts


def inspect(recipe: Recipe, weights: bool = False) -> Inspection:
    """All problems and notes of a fitted recipe at once, none raised: for who looks before a run.

    Chat templates are tried although a file is wrong. `weights`: read every model's as well.
    """
    found = Findings()
    models, prompts, replay = check_files(recipe, found)
    if models:
        check_rendering(recipe, models, prompts, replay, found)
    if models and weights:
        check_loading(recipe, models, found)
    return Inspection(found, models, prompts)


def check_files(recipe: Recipe, found: Findings) -> tuple[dict[str, Path], Prompts, Prompts]:
    """What files tell: the models in order, the prompts, those of earlier preferences."""
    found.attempt(check_machine, recipe)
    found.attempt(check_own_labels, recipe)
    models = check_models(recipe, found)
    prompts: Prompts | None = found.attempt(check_cells, recipe)
    if not recipe.recorded_matrix:
        prompts = found.attempt(check_logs if recipe.logged else check_prompts, recipe)
    return models, prompts or [], found.attempt(check_replay, recipe) or []


def check_machine(recipe: Recipe) -> None:
    """The device and the engine that the recipe asks for are there."""
    check_proxies()
    machine.device(recipe.runtime)
    check_trackers(recipe.runtime)
    if recipe.logged or recipe.recorded_matrix:
        return
    machine.engine_name(recipe.generate.engine)
    if recipe.generate.engine == "openai":
        from models.engines.openai_server import identity

        identity()  # asks it


def check_trackers(runtime: RuntimeConfig) -> None:
    """The trackers that the recipe names are installed; that they answer is not asked."""
    for name in runtime.trackers:
        if find_spec(name) is None:
            raise InputError(
                f"runtime.trackers: {name} is not installed; `pip install {MODULES[name]}`, "
                f"or leave {name} out"
            )


def named_file(field: str, name: str) -> str:
    """The file's path in full; a name that does not look like a file's is a `datasets` id.

    Raises:
        InputError: what looks like a file is not there, or is none.
    """
    path = expanded(name, field)
    if looks_like_file(name):
        check_regular(path, field)
    return path


def expanded(name: str, field: str) -> str:
    """The name as it stands, for messages; `~` put in full."""
    return str(named_path(name, field)) if name.startswith("~") else name


def check_proxies() -> None:
    """The proxies that the environment names can be used; no client is made with others.

    Not even Prefect's, which speaks to this machine alone.
    """
    import httpx

    try:
        httpx.Client().close()
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        missing = isinstance(error, ImportError)
        remedy = "`pip install httpx[socks]`" if missing else "correct it"
        raise InputError(
            "ALL_PROXY, HTTPS_PROXY or HTTP_PROXY: names a proxy that cannot be used "
            f"({'no support for SOCKS' if missing else 'its address'}); {remedy}, or unset it"
        ) from error


def held_out_sizes(config: PromptsConfig) -> tuple[int, int]:
    """How many prompts of the pool become dev and test prompts: none where a file has them."""
    return (
        0 if config.dev_path else config.dev_size,
        0 if config.test_path else config.test_size,
    )


def check_prompts(recipe: Recipe) -> Prompts:
    """The prompts of all files; enough of them for all rounds."""
    config = recipe.prompts
    if config.path == WORLD:
        assert recipe.world is not None
        check_pool(recipe, recipe.world.prompts)
        return []
    files = {}
    for part in ("path", "dev_path", "test_path"):
        name = getattr(config, part)
        if name is not None:
            files[part] = read_prompt_file(named_file(f"prompts.{part}", name))
    held_out = [file.table for part, file in files.items() if part != "path"]
    rest = files["path"].table
    if held_out:
        rest = without_prompts(rest, held_out)
    if any(held_out_sizes(config)):
        rest = split_prompts(rest.select(["prompt_id"]), *held_out_sizes(config), seed=recipe.seed)[
            "pool"
        ]
    check_pool(recipe, len(rest))
    return PromptTable(
        pa.concat_tables(
            [
                file.table.select(["messages"]).append_column("place", file.places)
                for file in files.values()
            ]
        )
    )


def check_pool(recipe: Recipe, available: int) -> None:
    """Enough prompts for all rounds, said before the first."""
    refreshed = recipe.prompts.refresh is not None  # the same prompts in every round
    rounds = 1 if refreshed else recipe.rounds
    needed = rounds * recipe.prompts.per_round
    if needed > available:
        raise InputError(
            f"prompts.per_round: {rounds} rounds of {recipe.prompts.per_round} need "
            f"{needed} prompts, there are {available}; lower prompts.per_round or rounds, "
            "or bring more"
        )


def check_replay(recipe: Recipe) -> list[Prompt]:
    """The prompts of earlier preferences, which the student alone reads."""
    path = recipe.student.replay_path
    if path is None or recipe.logged or recipe.recorded_matrix:
        return []
    path = expanded(path, "student.replay_path")
    check_regular(path, "student.replay_path")
    table, _ = read_preferences(path)
    return [Prompt(path, messages) for messages in table["messages"].to_pylist()]


def check_cells(recipe: Recipe) -> list[Prompt]:
    """The prompts of a recorded matrix; the matrix gives pairs, and its files can be read."""
    if recipe.matrix is None:
        return []
    first = [cell for cell in recipe.cells if cell.version >= 0 or cell.model != "policy"]
    pairs = cell_pairs(first, recipe.matrix)
    if not pairs:
        raise InputError(
            "matrix.cells: no cell of the first round beats another as matrix.positives and "
            "matrix.axes ask; compare cells of one family, of different version or scale"
        )
    answers = {
        cell.name: read_answers(expanded(cell.path, cell_field(cell)))
        for cell in recipe.cells
        if cell.path
    }
    if not recipe.recorded_matrix:
        return []
    if not any(answers[a.name].keys() & answers[b.name].keys() for a, b, _ in pairs):
        raise InputError("matrix.cells: no two cells that make a pair answer the same prompt")
    kinds = {key: row for rows in answers.values() for key, row in rows.items()}
    return [Prompt(row.place, row.messages) for row in kinds.values()]


def check_logs(recipe: Recipe) -> list[Prompt]:
    """The recorded prompts; pairs to learn from and pairs to measure agreement on."""
    config = recipe.logged
    assert config is not None
    logged = read_logged(config)
    candidates, _ = judged_only(logged.completions, logged.judgments)
    pairs = judged_pairs(candidates, logged.judgments, recipe.teacher.min_margin)
    paired = set(pairs["prompt_id"].to_pylist())
    if not paired:
        margin = recipe.teacher.min_margin
        raise InputError(
            f"logged.judgments: of {len(logged.prompts)} prompts none has two completions that the "
            "judge tells apart"
            + (f" by more than teacher.min_margin, {margin:g}; lower it or" if margin else ";")
            + " record rewards that differ"
        )
    parts = held_out_split(logged.prompts, config.held_out, config.seed)
    for part, goal in zip(parts, ("learn from", "hold out"), strict=True):
        if not paired & set(part["prompt_id"].to_pylist()):
            raise InputError(
                f"logged.held_out: of the {len(part)} prompts to {goal} none has two completions "
                f"that the judge tells apart, of all {len(logged.prompts)} only {len(paired)} "
                "have; change the share or logged.seed, or record more judgments"
            )
    return [Prompt(str(config.completions), m) for m in logged.prompts["messages"].to_pylist()]
