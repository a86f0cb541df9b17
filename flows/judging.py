"""Who judges in a run, whatever its kind: the one place of the flows that knows the kinds.

A pointwise judge (a reward model, reward functions) gives each answer a reward: SCORES. A pairwise
one (a language model) says which of two is better: VERDICTS.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from data.errors import InputError
from data.recipes.asking import AskingConfig
from data.recipes.judges import Endpoint, RewardFunctions, WeightedFunction, spelt
from data.recipes.methods import CorrectionConfig
from data.recipes.names import references
from data.recipes.recipe import RelabelConfig, RunRecipe
from data.store.artifacts import Artifact
from models.checkpoints import is_causal
from tasks.matrix import correct
from tasks.relabel import relabel
from tasks.reward import correct_by_functions, import_columns, relabel_by_functions, reward
from tasks.running.outside import External
from tasks.running.reward_functions import columns_read
from tasks.score import score
from tasks.stage import Model, Run


@dataclass(frozen=True)
class Functions:
    """Reward functions whose weighted sum judges, and what they read of the prompt files."""

    functions: list[External]
    weights: list[float]
    columns: list[Artifact]  # PROMPT_COLUMNS


@dataclass(frozen=True)
class Speaker:
    """A language model that is asked which of two answers is better."""

    model: External
    asking: AskingConfig
    template: External | None  # the file that asking.template names


Judge = Model | Functions | Speaker  # a Model alone is a reward model


def judge_of(
    run: Run,
    recipe: RunRecipe,
    field: str,
    value: str | tuple[WeightedFunction, ...],
    asking: AskingConfig,
    found: Mapping[str, Model],
) -> Judge:
    """The judge that a field of the recipe spells.

    Args:
        field: teacher.model, evaluate.judge, or evaluate.judge.1 of several.
        found: The recipe's models by field, the world's too; see `flows.loop.inputs.models_of`.
    """
    match spelt(value, ()):
        case RewardFunctions(functions):
            several = isinstance(value, tuple)
            places = [f"{field}.{n}" if several else field for n in range(len(functions))]
            named = [run.outside[place] for place in places]
            weights = [one.weight for one in functions]
            return Functions(named, weights, columns_for(run, recipe, named))
        case Endpoint():
            return speaker(run, field, run.outside[field], asking)
    model = found[field]
    if isinstance(model, External) and is_causal(Path(model.path), field):
        return speaker(run, field, model, asking)
    return model


def speaker(run: Run, field: str, model: External, asking: AskingConfig) -> Speaker:
    section = field.partition(".")[0]
    return Speaker(model, asking, run.outside.get(f"{section}.asking.template"))


def columns_for(run: Run, recipe: RunRecipe, functions: list[External]) -> list[Artifact]:
    """The columns that the functions read, of every prompt file of the recipe.

    Held-out files first: their prompts leave the pool.
    """
    read = [columns_read(one) for one in functions]
    names = sorted({name for one in read for name in (*one.needs, *one.uses)})
    files = [one.field for one in references(recipe) if one.kind == "prompts"]
    return [
        import_columns.as_(field, title=f"read columns of {field}")(
            source=run.outside[field], names=names
        )
        for field in reversed(files)
        if names
    ]


def is_pairwise(judge: Judge) -> bool:
    """Whether it compares two answers and gives no rewards."""
    return isinstance(judge, Speaker)


def rewards_of(
    judge: Judge,
    *,
    prompts: Artifact,
    completions: Artifact,
    max_length: int,
    role: str = "",
    title: str = "",
    measures: bool = False,
) -> Artifact:
    """SCORES of completions by a pointwise judge. Raises InputError for a pairwise one."""
    match judge:
        case Functions(functions, weights, columns):
            return reward.as_(role, title=title, measures=measures)(
                functions=functions,
                weights=weights,
                prompts=prompts,
                completions=completions,
                columns=columns,
            )
        case Speaker():
            raise InputError(
                f"{judge.model.field}: a language model compares two answers and gives no rewards; "
                "name a reward model or a reward function"
            )
        case _:
            return score.as_(role, title=title, measures=measures)(
                model=judge, prompts=prompts, completions=completions, max_length=max_length
            )


def relabelled(
    judge: Judge,
    *,
    mined: Artifact,
    prompts: Artifact,
    config: RelabelConfig,
    round_number: int,
    max_length: int,
) -> Artifact:
    """PREFERENCES: the pairs of MINED in the judge's order."""
    match judge:
        case Functions(functions, weights, columns):
            return relabel_by_functions.as_("", title="relabel")(
                mined=mined,
                prompts=prompts,
                functions=functions,
                weights=weights,
                columns=columns,
                config=config,
                round_number=round_number,
            )
        case Speaker():
            raise InputError(
                f"{judge.model.field}: a language model does not label here yet; name a reward "
                "model or a reward function"
            )
        case _:
            return relabel(
                mined=mined,
                prompts=prompts,
                teacher=judge,
                config=config,
                round_number=round_number,
                max_length=max_length,
            )


def corrected(
    judge: Judge,
    *,
    mined: Artifact,
    prompts: Artifact,
    config: CorrectionConfig,
    min_margin: float,
    round_number: int,
    max_length: int,
) -> Artifact:
    """PREFERENCES: the pairs of a model matrix in the judge's order."""
    match judge:
        case Functions(functions, weights, columns):
            return correct_by_functions.as_("", title="relabel")(
                mined=mined,
                prompts=prompts,
                functions=functions,
                weights=weights,
                columns=columns,
                config=config,
                min_margin=min_margin,
                round_number=round_number,
            )
        case Speaker():
            raise InputError(
                f"{judge.model.field}: name a language model that corrects the matrix in "
                "matrix.correction.judge"
            )
        case _:
            return correct.as_("", title="relabel")(
                mined=mined,
                prompts=prompts,
                judge=judge,
                config=config,
                min_margin=min_margin,
                round_number=round_number,
                max_length=max_length,
            )
