"""The recipe of distillation over domains: whose texts, how they are mixed, and what is learned."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from data.readers.seen import Counted, File, Prompt, Prompts
from data.readers.texts import (
    TextFile,
    check_known,
    domains_of,
    parted,
    read_texts,
    with_noise,
)
from data.recipes.config import SMALL, WORLD, Config, Count, Times
from data.recipes.distillation import DistilledPolicy, TargetsConfig
from data.recipes.domains import NOISE, MixtureConfig, Smoothed, TextsConfig, WarmUpConfig
from data.recipes.fine_tuning import FineTuneConfig
from data.recipes.names import Names
from data.recipes.recipe import RunRecipe, Values
from data.world.questions import FAMILIES

LOSSES = {"sft": 1.0, "forward_kl": 0.2}  # CE + gamma KL, with the published gamma


class DomainTeacher(Config):
    """The language model that is ahead, and whose distribution the policy learns."""

    model: Annotated[str, Names("policy", (WORLD,))] = Field(
        WORLD,
        description="Hugging Face directory or hub id of a language model with the policy's "
        "vocabulary; 'world' with world.teacher_lessons above 0",
    )
    engine: Literal["transformers", "vllm"] = Field(
        "transformers", description="By what it reads the texts; vllm at temperature 1 alone"
    )


class DdkRecipe(RunRecipe):
    """Intervals, each of texts mixed from domains by how far the policy is behind its teacher.

    Without `policy.losses` these are DDK's, {sft: 1, forward_kl: 0.2}.
    """

    recipe: Literal["ddk"]
    rounds: Times = Field(10, ge=1, description="Intervals")
    steps: Count = Field(
        100,
        ge=1,
        description="Batches that an interval draws: its optimizer steps (K), at one epoch",
    )
    texts: TextsConfig = TextsConfig()
    mixture: MixtureConfig = Field(Smoothed(rule="smoothed"), description="By what texts are mixed")
    warm_up: WarmUpConfig | None = None
    policy: DistilledPolicy = DistilledPolicy()
    teacher: DomainTeacher = DomainTeacher()
    targets: TargetsConfig = TargetsConfig()

    @model_validator(mode="before")
    @classmethod
    def _as_published(cls, values: Any) -> Any:
        """DDK's loss and its rule, where the recipe names none; as if they had been written."""
        if not isinstance(values, dict):
            return values
        mixture = values.get("mixture")
        if isinstance(mixture, dict) and "rule" not in mixture:
            values = values | {"mixture": {"rule": "smoothed"} | mixture}
        return cls.meant(values)

    @classmethod
    def meant(cls, values: dict[str, Any]) -> dict[str, Any]:
        policy = values.get("policy", {})
        if isinstance(policy, dict) and "losses" not in policy:
            return values | {"policy": policy | {"losses": dict(LOSSES)}}
        return values

    @model_validator(mode="after")
    def _consistent(self) -> "DdkRecipe":
        """One family of models, and settings that would be ignored."""
        worlds = [name in (WORLD, SMALL) for name in (self.policy.model, self.teacher.model)]
        if worlds[0] != worlds[1]:
            raise ValueError(
                "teacher.model: the world's models share a vocabulary with each other alone; take "
                "both policy.model and teacher.model from the world, or neither"
            )
        if worlds[1] and self.world and not self.world.teacher_lessons:
            raise ValueError(
                "world.teacher_lessons: without any the world's teacher is a classifier, which "
                "gives no tokens; set it above 0"
            )
        if worlds[0] and self.policy.template is not None:
            raise ValueError("policy.template: the world's policy has its own; leave it out")
        if self.teacher.engine == "vllm" and self.targets.temperature != 1:
            raise ValueError(
                "targets.temperature: must be 1 with 'teacher.engine: vllm', which gives the "
                "probabilities of prompts at no other"
            )
        if self.texts.path != WORLD and self.texts.skew != 1:
            raise ValueError("texts.skew: is of the world's texts; leave it out")
        return self

    @property
    def interval(self) -> int:
        """Texts that an interval draws."""
        return self.steps * self.policy.batch_size

    @property
    def warming(self) -> FineTuneConfig:
        """How the policy is trained before the first interval."""
        assert self.warm_up is not None
        policy, given = self.policy, self.warm_up.learning_rate
        return FineTuneConfig(
            model=policy.model,
            method=policy.method,
            adapter=policy.adapter,
            learning_rate=given or policy.learning_rate,
            epochs=self.warm_up.epochs,
            batch_size=policy.batch_size,
            max_length=policy.max_length,
        )

    @property
    def apart(self) -> list[str]:
        """Domains that count in no mean."""
        return [NOISE] if self.texts.noise else []

    @property
    def round_count(self) -> int:
        return self.rounds

    @property
    def max_length(self) -> int:
        return self.policy.max_length

    @property
    def one_vocabulary(self) -> tuple[str, ...]:
        return "policy.model", "teacher.model"

    def yardstick(self) -> Values:
        held_out = {"path", "columns", "dev_size", "test_size", "skew", "noise"}
        return {
            "world": self.world.model_dump() if self.world else {},
            "policy.model": self.policy.model,
            "teacher.model": self.teacher.model,
            "warm_up": self.warm_up.model_dump(mode="json") if self.warm_up else None,
            **{f"texts.{name}": x for name, x in self.texts.model_dump(include=held_out).items()},
        }

    def lengths(self, known: dict[str, int]) -> Values:
        if self.policy.gives("max_length"):
            return {}
        return {"policy.max_length": min([self.policy.max_length, *known.values()])}

    def check_prompts(self) -> Prompts:
        known = self.warm_up.datasets if self.warm_up else ()
        if self.texts.path == WORLD:
            check_known(known, sorted(FAMILIES), "warm_up.datasets")
            return []
        found, parts = self._read()
        check_known(known, domains_of(found.table), "warm_up.datasets")
        if self.texts.noise:
            with_noise(parts["dev"], self.seed)
        messages = found.table["messages"].to_pylist()
        return [Prompt(place, one) for place, one in zip(found.places, messages, strict=True)]

    def counted_prompts(self) -> Counted:
        if self.texts.path == WORLD:
            return Counted()
        found, parts = self._read()
        counts = {"duplicate": found.counts["duplicate"]} if found.counts["duplicate"] else {}
        field, rows = "texts.path", found.counts["kept"]
        sizes = {name: len(table) for name, table in parts.items()}
        return Counted(
            files=[File(field, self.texts.path, found.counts["read"], rows, counts, {})],
            parts={"to learn from": sizes["pool"], "dev": sizes["dev"], "test": sizes["test"]},
            rows={field: rows} | {f"part_of_texts {name}": n for name, n in sizes.items()},
        )

    def _read(self) -> tuple[TextFile, dict[str, Any]]:
        """The texts of the file, and their parts. Raises InputError."""
        from data.files import check_regular
        from flows.preflight.prompts import expanded

        path = expanded(self.texts.path, "texts.path")
        check_regular(path, "texts.path")
        found = read_texts(path, self.texts.columns)
        sizes = self.texts.dev_size, self.texts.test_size
        return found, parted(found.table, *sizes, self.seed)

    def about(self) -> str:
        rounds = f"{self.rounds} interval" + "s" * (self.rounds != 1)
        rule = {"natural": "by their sizes", "unsmoothed": "by equation 1 of DDK alone"}
        by = rule.get(self.mixture.rule, "by DDK's smoothed factors")
        if isinstance(self.mixture, Smoothed) and not self.mixture.alpha:
            by = "alike"
        return (
            f"{rounds} of {self.steps:,} steps on {self.interval:,} texts, mixed from domains "
            f"{by}. The policy learns the texts and what the teacher says at every position "
            f"({' + '.join(self.policy.losses.by_name)}); how far it is behind the teacher in each "
            "domain is measured after every interval."
        )
