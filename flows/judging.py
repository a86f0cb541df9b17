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
from data.recipes.recipe import GateConfig, RunRecipe, TeacherConfig
from data.store.artifacts import Artifact
from data.store.digests import file_digest
from models.judges.question import DEFAULT
from models.reward_files import compares
from tasks.compare import ask, compare
from tasks.gate import agreement, agreement_by_verdicts, gate, gate_by_verdicts
from tasks.matrix import correct, correct_by_verdicts
from tasks.pair_answers import pair_mined, pair_policies, pair_samples
from tasks.relabel import relabel, relabel_by_verdicts
from tasks.reward import correct_by_functions, import_columns, relabel_by_functions, reward
from tasks.running.outside import Endpoint as Served
from tasks.running.outside import External, PromptRows
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
    question: External  # the file that words it


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
    if isinstance(model, External) and compares(Path(model.path), field):
        return speaker(run, field, model, asking)
    return model


def speaker(run: Run, field: str, model: External, asking: AskingConfig | None = None) -> Speaker:
    section = field.partition(".")[0]
    template = run.outside.get(f"{section}.asking.template")
    ours = External(path=str(DEFAULT), digest=file_digest(DEFAULT), field="asking.template")
    return Speaker(model, asking or AskingConfig(), template or ours)


def columns_for(run: Run, recipe: RunRecipe, functions: list[External]) -> list[Artifact]:
    """The columns that the functions read, of every prompt file of the recipe.

    Held-out files first: their prompts leave the pool.
    """
    read = [columns_read(one) for one in functions]
    names = sorted({name for one in read for name in (*one.needs, *one.uses)})
    return columns_of_prompts(run, recipe, names)


def columns_of_prompts(run: Run, recipe: RunRecipe, names: list[str]) -> list[Artifact]:
    """These columns of every prompt file of the recipe, held-out files first."""
    files = [one for one in run.outside.values() if isinstance(one, PromptRows)]
    return [
        import_columns.as_(one.field, title=f"read columns of {one.field}")(source=one, names=names)
        for one in reversed(files)
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
            return reward.as_(role, title=title or f"score {role}".strip(), measures=measures)(
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


def compared(
    judge: Speaker, pairs: Artifact, prompts: Artifact, role: str, measures: bool = False
) -> Artifact:
    """VERDICTS of a language model on ANSWER_PAIRS."""
    stage = ask if isinstance(judge.model, Served) else compare
    return stage.as_(role, title=f"judge compares ({role})", measures=measures)(
        pairs=pairs,
        prompts=prompts,
        judge=judge.model,
        question=judge.question,
        config=judge.asking,
    )


def verdicts_of(
    judge: Speaker,
    *,
    prompts: Artifact,
    left: Artifact,
    right: Artifact,
    role: str,
    most: int = 1,
    measures: bool = False,
) -> Artifact:
    """VERDICTS of a language model on two policies' COMPLETIONS of the same prompts.

    The first answers to a prompt are compared, the second ones, and so on, at most `most` of each
    prompt. An outcome of 1 is for the `left` policy.
    """
    pairs = pair_policies.as_(role, title=f"pair answers ({role})", measures=measures)(
        left=left, right=right, most=most
    )
    return compared(judge, pairs, prompts, role, measures)


def gated(
    judge: Judge,
    config: GateConfig,
    prompts: Artifact,
    before: tuple[Artifact, Artifact | None],
    after: tuple[Artifact, Artifact | None],
) -> Artifact:
    """Whether the judge prefers the new policy: gate.json.

    Args:
        before: COMPLETIONS and, of a pointwise judge, SCORES of the old policy on dev prompts.
        after: The same of the new one.
    """
    if isinstance(judge, Speaker):
        most = judge.asking.dev_pairs
        verdicts = verdicts_of(
            judge, prompts=prompts, left=after[0], right=before[0], role="gate", most=most
        )
        return gate_by_verdicts.as_("", title="gate")(verdicts=verdicts, config=config)
    assert before[1] is not None and after[1] is not None
    return gate(before=before[1], after=after[1], config=config)


def agreeing(
    judge: Judge,
    *,
    prompts: Artifact,
    completions: Artifact,
    rewards: Artifact | None,
    student: Artifact,
    min_margin: float,
    when: str,
) -> Artifact:
    """How often a student orders two answers to a prompt as the judge does: agreement.json.

    Args:
        rewards: SCORES of a pointwise judge.
        student: SCORES of the student.
        when: "before" or "after" the round's training.
    """
    title = f"agreement ({when})"
    if isinstance(judge, Speaker):
        pairs = pair_samples.as_("dev", title="pair dev answers")(
            completions=completions, most=judge.asking.dev_pairs
        )
        return agreement_by_verdicts.as_(when, title=title)(
            verdicts=compared(judge, pairs, prompts, "dev"),
            student=student,
            min_margin=min_margin,
        )
    assert rewards is not None
    return agreement.as_(when, title=title)(
        completions=completions, student=student, judge=rewards, min_margin=min_margin
    )


def relabelled(
    judge: Judge,
    *,
    mined: Artifact,
    prompts: Artifact,
    config: TeacherConfig,
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
            return relabel_by_verdicts.as_("", title="relabel")(
                mined=mined,
                prompts=prompts,
                verdicts=compared(judge, pair_mined(mined=mined), prompts, "label"),
                config=config,
                round_number=round_number,
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
            return correct_by_verdicts.as_("", title="relabel")(
                mined=mined,
                prompts=prompts,
                verdicts=compared(judge, pair_mined(mined=mined), prompts, "label"),
                config=config,
                min_margin=min_margin,
                round_number=round_number,
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
