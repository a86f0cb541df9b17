"""Does vLLM serve the models of this run, where "auto" is vLLM: known before any key names it."""

from typing import Protocol

from data.recipes.recipe import RunRecipe
from flows.fingerprint import engine_of
from tasks.engine import try_vllm
from tasks.stage import Model, Run


class Answering(Protocol):
    """The models of a run that answer prompts."""

    @property
    def policy(self) -> Model: ...
    @property
    def samplers(self) -> dict[str, Model]: ...


def settle_engine(run: Run, recipe: RunRecipe, parts: Answering) -> None:
    """Leave vLLM for transformers where "auto" is vLLM and it cannot serve the run's samplers."""
    loaded = run.context.loaded
    asked = recipe.sampling.engine if recipe.sampling else "none"
    if asked != "auto" or loaded.engine_name != "vllm":
        return
    # The policy last, so that its engine is the one that stays.
    for cell, model in (parts.samplers | {"": parts.policy}).items():
        tried = try_vllm.as_(cell, title=f"engine {cell}".strip())(
            policy=model,
            engine=run.engine,
            max_model_len=recipe.max_length,
        )
        if reason := tried.meta["reason"]:
            loaded.engine_name = "transformers"
            run.engine = engine_of(recipe, "transformers")
            whose = f"the {cell or 'policy'}"
            if cell and hasattr(recipe, "matrix"):
                whose = f"matrix cell {cell}"
            run.progress.note(
                f"generate.engine auto is transformers here: vLLM cannot serve {whose} ({reason})"
            )
            return
