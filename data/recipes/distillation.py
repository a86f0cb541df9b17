"""The sections of a recipe that distils a policy from a teacher's distribution."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from data.recipes.config import FROM_LIST, WORLD, Config, Times
from data.recipes.losses import ByName, Loss
from data.recipes.names import Names
from data.recipes.recipe import GenerateConfig
from data.recipes.training import TunedPolicy


class TargetsConfig(Config):
    """What is kept of the teacher's distribution at every position of an answer."""

    k: Times = Field(
        20,
        ge=1,
        description="Most likely tokens kept with their log-probabilities; of the others one "
        "number, what they have together. The size of the vocabulary, or more: everything is kept",
    )
    temperature: float = Field(
        1.0, gt=0, description="Both models' logits are divided by it before they are compared"
    )


class JsdLoss(Loss):
    """Generalised Jensen-Shannon divergence (Agarwal et al. 2024, GKD, equation 1)."""

    beta: float = Field(
        0.5, gt=0, lt=1, description="Share of the teacher in the mixture that both are compared to"
    )


class DistillLosses(ByName):
    """The terms of the loss by name, each with a weight or with its settings."""

    sft: Loss | None = Field(None, description="Negative log-likelihood of the answer's tokens")
    forward_kl: Loss | None = Field(None, description="KL(teacher || policy)")
    reverse_kl: Loss | None = Field(None, description="KL(policy || teacher)")
    jsd: JsdLoss | None = None

    @model_validator(mode="after")
    def _something_counts(self) -> "DistillLosses":
        if not any(loss.weight for loss in self.by_name.values()):
            raise ValueError("policy.losses: no loss has a weight above 0; give one")
        return self


class DistilledPolicy(TunedPolicy):
    """The policy and how it learns the teacher's distribution."""

    losses: DistillLosses = Field(
        DistillLosses(forward_kl=Loss()),
        description="Losses by name, each with a weight or with its settings; each is a mean over "
        "the tokens of the answers",
    )


def _address(url: str) -> str:
    """The address without a last slash. Raises ValueError for what is none, or may hold a key."""
    if not url.startswith(("http://", "https://")) or "?" in url:
        raise ValueError(
            "must be the address of an OpenAI-compatible server, such as "
            f"http://localhost:8000/v1, got {url!r:.60}"
        )
    return url.rstrip("/")


Address = Annotated[str, AfterValidator(_address)]


class DatasetTeacher(Config):
    """A teacher of the prompts of one data set."""

    dataset: str = Field(min_length=1, description="The data set, as the prompts name it")
    model: Annotated[str, Names("policy")] = Field(
        description="As teacher.model, in its place for the prompts of this data set"
    )
    url: Address | None = Field(None, description="As teacher.url, of this teacher")
    served_model: str | None = Field(
        None, min_length=1, description="As teacher.served_model, of this teacher"
    )

    @property
    def called(self) -> str:
        """As messages have it."""
        return f"teacher of {self.dataset}"


class TeacherModel(Config):
    """The language model whose distribution the policy learns."""

    model: Annotated[str, Names("policy", (WORLD,))] = Field(
        WORLD,
        description="Hugging Face directory or hub id of a language model with the policy's "
        "vocabulary; 'world' with world.teacher_lessons above 0; with url, a directory of which "
        "only config.json and tokenizer are read",
    )
    url: Address | None = Field(
        None,
        description="Address of a vLLM server that has the model, as http://host:8000/v1: it reads "
        "the answers, at temperature 1 alone, and no weights are loaded here; its key is in "
        "TEACHER_API_KEY",
    )
    served_model: str | None = Field(
        None, min_length=1, description="What the server calls the model, where it lists several"
    )
    by_dataset: Annotated[tuple[DatasetTeacher, ...], FROM_LIST] = Field(
        (), description="Teachers of single data sets; model teaches all others"
    )
    engine: Literal["transformers", "vllm"] = Field(
        "transformers",
        description="By what it reads the answers here; vllm at temperature 1 alone",
    )

    @model_validator(mode="after")
    def _one_each(self) -> "TeacherModel":
        names = [one.dataset for one in self.by_dataset]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"teacher.by_dataset: {twice[0]!r} stands there twice; leave one out")
        return self

    @model_validator(mode="after")
    def _where_it_answers(self) -> "TeacherModel":
        """What a server does is not asked of this machine, and the other way round."""
        for one in self._every:
            if one.served_model is not None and one.url is None:
                raise ValueError(
                    "teacher.served_model: is what a server calls its model; name its url too"
                )
        if self.url is not None and self.model == WORLD:
            raise ValueError(
                "teacher.url: the world's teacher is made here and behind no server; name the "
                "directory with the tokenizer of the served model as teacher.model"
            )
        if self.engine == "vllm" and all(one.url for one in self._every):
            raise ValueError(
                "teacher.engine: a teacher at teacher.url is asked and not loaded; leave it out"
            )
        return self

    @property
    def _every(self) -> "tuple[TeacherModel | DatasetTeacher, ...]":
        return (self, *self.by_dataset)

    @property
    def served(self) -> bool:
        """Whether a teacher answers behind a server."""
        return any(one.url for one in self._every)


class AnswersConfig(GenerateConfig):
    """How the prompts of a round are answered."""

    k: Times = Field(1, ge=1, description="Answers to each prompt")
