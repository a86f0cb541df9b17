"""Every judge of an evaluation compares the same answers of base and policy."""

from collections.abc import Mapping

from data.recipes.judges import ORACLE, TEACHER
from data.store.artifacts import Artifact
from flows.judge_words import called, suffixes
from flows.judging import Judge, Speaker, judge_of, rewards_of, verdicts_of
from flows.loop.state import Answers, Parts
from flows.policy_recipe import PolicyRecipe
from tasks.evaluate import evaluate, evaluate_by_verdicts
from tasks.stage import Model, Run


def judges_of(
    run: Run, recipe: PolicyRecipe, teacher: Judge, found: Mapping[str, Model]
) -> tuple[Judge | None, ...]:
    """The judges of the evaluation, in the recipe's order; None for the oracle.

    Args:
        found: The recipe's models by field; see `flows.loop.inputs.models_of`.
    """
    config = recipe.evaluate
    several = len(config.judges) > 1
    judges: list[Judge | None] = []
    for number, name in enumerate(config.judges):
        field = f"evaluate.judge.{number}" if several else "evaluate.judge"
        if name in (ORACLE, TEACHER):
            judges.append(teacher if name == TEACHER else None)
        else:
            judges.append(judge_of(run, recipe, field, name, config.asking, found))
    return tuple(judges)


def evaluations(
    recipe: PolicyRecipe,
    parts: Parts,
    base: Answers,
    policy: Answers,
    number: int,
    whose: str = "",
) -> tuple[Artifact, ...]:
    """EVALUATION of the test answers by each judge, the first one's first.

    Args:
        number: Of the round that has left the policy.
        whose: In place of the round, for titles.
    """
    whose = whose or f"round {number}"
    names = recipe.evaluate.judges
    roles = [suffix.strip("_").replace("_", " ") for suffix in suffixes(names)]
    return tuple(
        _evaluated(recipe, parts, (name, judge, role), base, policy, whose)
        for name, judge, role in zip(names, parts.judges, roles, strict=True)
    )


def by_verdicts(
    judge: Speaker,
    prompts: Artifact,
    base: Artifact,
    policy: Artifact,
    *,
    role: str = "",
    title: str,
    measures: bool = False,
) -> Artifact:
    """EVALUATION of two policies' COMPLETIONS by a language model, which compares them."""
    verdicts = verdicts_of(
        judge,
        prompts=prompts,
        left=policy,
        right=base,
        role=f"test {role}".strip(),
        measures=measures,
    )
    return evaluate_by_verdicts.as_(role, title=title, measures=measures)(
        prompts=prompts, base=base, policy=policy, verdicts=verdicts
    )


def _evaluated(
    recipe: PolicyRecipe,
    parts: Parts,
    by: tuple[str, Judge | None, str],
    base: Answers,
    policy: Answers,
    whose: str,
) -> Artifact:
    name, judge, role = by
    who, title = called(name), f"evaluate {role}".strip()
    rewards = base.rewards, policy.rewards
    if isinstance(judge, Speaker):
        both = base.completions, policy.completions
        return by_verdicts(judge, parts.test, *both, role=role, title=title, measures=True)
    if judge is not None and name != TEACHER:
        sides = (("base", base), (whose, policy))
        rewards = tuple(  # type: ignore[assignment]
            rewards_of(
                judge,
                prompts=parts.test,
                completions=answers.completions,
                max_length=recipe.max_length,
                role=f"test {role or 'by the judge'}",
                title=f"{who} scores {side}'s test answers",
                measures=True,
            )
            for side, answers in sides
        )
    return evaluate.as_(role, title=title, measures=True)(
        prompts=parts.test,
        base=base.completions,
        policy=policy.completions,
        base_rewards=rewards[0],
        policy_rewards=rewards[1],
        judge=name if judge is None else TEACHER,
    )
