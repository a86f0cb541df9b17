"""`tsalign check --device 8xh100`: what a run would take on GPUs, estimated from published figures.

For a machine that is not here. Counts are those of the plan: every prompt gives its pairs, every
answer is as long as allowed. `models.gpus` has the arithmetic and its assumptions.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data.recipes.recipe import Config, DecodingConfig, RunRecipe
from flows.planning.foreseen import Foreseen
from flows.planning.plan import Foresight, Walked, planned
from flows.planning.preview import Preview
from models.gpus import (
    ENGINE_SECONDS,
    LEARN,
    READ,
    READ_BYTES,
    Estimate,
    Gpus,
    Sizes,
    reading,
    sampling,
    training,
)
from tasks.running.measuring import units_of
from tasks.running.outside import External

_TABLE = 0.05  # seconds of a call that works on tables or is Prefect's: assumed


@dataclass
class Paper:
    """Every stage on paper, and what was assumed."""

    gpus: str
    steps: list[Foreseen]
    notes: list[str] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return sum(step.seconds or 0.0 for step in self.steps)

    @property
    def memory(self) -> int:
        """Bytes on the fullest GPU."""
        return max((step.memory or 0 for step in self.steps), default=0)

    def told(self) -> dict[str, Any]:
        """The totals as JSON."""
        found = {"gpus": self.gpus, "seconds": round(self.seconds, 1), "memory": self.memory}
        return found | {"notes": self.notes}


class OnPaper(Foresight):
    """Estimates every call of a walk.

    Args:
        models: Of the recipe by field, without ".model".
        prompt_tokens: Of a prompt, as each of them reads it.
        answer_tokens: Of an answer, where no sampling says it.
    """

    def __init__(
        self, gpus: Gpus, models: Mapping[str, Sizes], prompt_tokens: Mapping[str, int],
        answer_tokens: int,
    ) -> None:  # fmt: skip
        self._gpus, self._models, self._lengths = gpus, models, prompt_tokens
        self._answer, self._serving = answer_tokens, False
        self.steps: list[Foreseen] = []

    def take(self, walked: Walked) -> None:
        if not walked.share:
            return
        step, name = walked.step, self._whose(walked)
        seconds, memory, texts, tokens = _TABLE, 0.0, 0, 0
        if walked.stage.model and name in self._models:
            texts, tokens, found = self._estimate(walked, name)
            seconds, memory = seconds + found.seconds, found.memory
        known = seconds if not walked.stage.model or name in self._models else None
        self.steps.append(
            Foreseen(
                step.section, step.title, step.stage, step.state, texts, tokens, 1,
                seconds=known, memory=round(memory), source="paper",
                model=bool(walked.stage.model),
            )
        )  # fmt: skip

    def _estimate(self, walked: Walked, name: str) -> tuple[int, int, Estimate]:
        """Texts, tokens, and what these take with the time in which the model is loaded."""
        step, stage, inputs = walked.step, walked.stage, walked.inputs
        model, prompt = self._models[name], self._lengths.get(name, 0)
        loading = model.bytes / READ_BYTES
        if step.sampled:
            most = [one.max_tokens for one in inputs.values() if isinstance(one, DecodingConfig)]
            self._answer = max(most, default=self._answer)
            k = int(inputs.get("k", 1))
            found = sampling(self._gpus, model, step.sampled // k, k, prompt, self._answer)
            starting = loading if self._serving else ENGINE_SECONDS
            self._serving = True
            return step.sampled, step.tokens, _later(found, starting)
        length = prompt + self._answer
        if step.makes:
            sides = 2 if step.pairs else 1
            tokens = sides * units_of(stage, inputs) * length
            method = next(
                (one.method for one in inputs.values() if isinstance(one, Config) and
                 hasattr(one, "method")), "full",
            )  # fmt: skip
            found = training(self._gpus, model, tokens, method)
            return step.pairs or step.answers, tokens, _later(found, 2 * loading)
        texts = step.reads + step.calls
        if stage.kind == "reference_logps":
            texts = 2 * step.rows
        elif stage.kind == "drift":  # by the policy and by its base
            texts = 2 * (inputs["completions"].rows or 0)
        tokens = texts * length
        return texts, tokens, _later(reading(self._gpus, model, tokens), loading if texts else 0.0)

    def _whose(self, walked: Walked) -> str:
        """The recipe's name of the model that a call works with."""
        step = walked.step
        if step.reader or step.makes:
            return step.reader or step.makes
        outside = (one for one in walked.inputs.values() if isinstance(one, External))
        return next((one.field.removesuffix(".model") for one in outside
                     if one.field.removesuffix(".model") in self._models), "policy")  # fmt: skip


def _later(found: Estimate, seconds: float) -> Estimate:
    return Estimate(found.seconds + seconds, found.memory)


def on_paper(
    recipe: RunRecipe,
    folder: Path,
    models: Mapping[str, Sizes],
    prompts: Preview,
    gpus: Gpus,
) -> Paper:
    """The stages of a run on these GPUs, all of them: what the store of this machine holds was
    made by other numerics, and has other keys there.

    Args:
        recipe: Fitted, and accepted by preflight.
        folder: Of the run.
        models: Of the recipe by field, without ".model".
        prompts: As its models read them.

    Raises:
        InputError: a model does not fit on the GPUs.
    """
    lengths = {one.field.removesuffix(".model"): one.shares[50] for one in prompts.lengths}
    longest = recipe.sampling.max_tokens if recipe.sampling else 0
    foresight = OnPaper(gpus, models, lengths, longest)
    with tempfile.TemporaryDirectory() as empty:
        planned(recipe, empty, folder, prompts.rows, foresight)
    return Paper(gpus.name, foresight.steps, _notes(foresight.steps))


def _notes(steps: list[Foreseen]) -> list[str]:
    unknown = ", ".join(dict.fromkeys(step.title for step in steps if step.seconds is None))
    return [
        "an estimate on paper from published peaks, of which sampling and reading are taken to "
        f"reach {READ:.0%} of the arithmetic and training {LEARN:.0%}; nothing was measured",
        "at most: every prompt gives its pairs, every answer is as long as allowed",
        *([f"not estimated: {unknown}"] if unknown else []),
    ]
