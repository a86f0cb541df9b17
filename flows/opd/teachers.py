"""Which teacher teaches which prompts, and what each says of them."""

from dataclasses import dataclass
from typing import NamedTuple

from data.recipes.distillation import TargetsConfig
from data.recipes.recipe import DecodingConfig
from data.store.artifacts import Artifact
from flows.fingerprint import numerics
from flows.policy_recipe import TaughtRecipe
from tasks.generate import answers_to, generate
from tasks.running import machine
from tasks.running.outside import ServedModel
from tasks.select import of_datasets
from tasks.stage import Model, Run
from tasks.targets import targets

OTHERS = "others"  # data sets that have no teacher of their own


class Share(NamedTuple):
    """A teacher with its prompts."""

    name: str  # of the data set; "" where there is one teacher
    teacher: Model
    prompts: Artifact


@dataclass(frozen=True)
class Teachers:
    """The teacher of all prompts, or of all that have none of their own."""

    first: Model
    own: dict[str, Model]  # by data set

    @property
    def here(self) -> bool:
        """Whether all of them can be loaded on this machine."""
        return not any(isinstance(one, ServedModel) for one in (self.first, *self.own.values()))

    def shares(self, prompts: Artifact, of: str) -> list[Share]:
        """PROMPTS by teacher, without those that have none of them; `of`: what these are."""
        if not self.own:
            return [Share("", self.first, prompts)]
        measures = of in ("dev", "test")
        found = []
        for name, teacher in (*self.own.items(), (OTHERS, self.first)):
            others = name == OTHERS
            call = of_datasets.as_(
                f"{of} {name}".strip(), title=f"{of} prompts of {name}".strip(), measures=measures
            )
            names = list(self.own) if others else [name]
            part = call(prompts=prompts, names=names, others=others)
            found.append(Share(name, teacher, part))
        return [share for share in found if share.prompts.rows]


def spoken(
    run: Run,
    recipe: TaughtRecipe,
    shares: list[Share],
    decoding: DecodingConfig,
    k: int,
    stream: str,
    role: str = "",
) -> list[Artifact]:
    """COMPLETIONS of the teachers, each to its prompts."""
    title = f"teacher answers {role} prompts" if role else "generate"
    return [
        generate.as_(
            f"{role} {one.name}".strip(), title=f"{title} {one.name}".strip(), measures=bool(role)
        )(
            policy=one.teacher,
            prompts=one.prompts,
            k=k,
            decoding=decoding,
            engine=run.engine,
            stream=stream,
            seed=recipe.seed,
        )
        for one in shares
    ]


def by_share(shares: list[Share], completions: Artifact, role: str = "") -> list[Artifact]:
    """COMPLETIONS of all prompts, cut by teacher."""
    if len(shares) == 1 and not shares[0].name:
        return [completions]
    return [
        answers_to.as_(
            f"{role} {one.name}".strip(),
            title=f"{role} answers to {one.name}".strip(),
            measures=bool(role),
        )(prompts=one.prompts, completions=completions)
        for one in shares
    ]


def reads_by(recipe: TaughtRecipe, teacher: Model) -> str:
    """The engine by which a teacher reads answers, as it enters keys."""
    if isinstance(teacher, ServedModel):
        return f"openai {teacher.says}"
    return machine.engine_identity(recipe.teacher.engine, numerics(recipe), recipe.runtime)


def read_by(
    recipe: TaughtRecipe,
    shares: list[Share],
    completions: list[Artifact],
    config: TargetsConfig,
    role: str = "",
    whose: str = "",
) -> list[Artifact]:
    """TARGETS of every teacher on the completions of its prompts."""
    title = f"teacher reads {whose}'s {role} answers" if role else "targets"
    return [
        targets.as_(
            f"{role} {one.name}".strip(), title=f"{title} {one.name}".strip(), measures=bool(role)
        )(
            teacher=one.teacher,
            prompts=one.prompts,
            completions=answers,
            config=config,
            engine=reads_by(recipe, one.teacher),
        )
        for one, answers in zip(shares, completions, strict=True)
    ]
