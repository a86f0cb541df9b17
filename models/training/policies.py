"""The policy of a training: as it is loaded to learn, and as it is saved."""

from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from data.recipes.recipe import RuntimeConfig
from data.recipes.training import AdaptedTraining
from models.chat import load_tokenizer
from models.hardware import stored_dtype, training_dtype
from models.loading import load_policy
from models.training.adapters import save_and_merge
from models.training.trainers import remove_dropout, save_model


def load_learner(policy: Path, config: AdaptedTraining, runtime: RuntimeConfig) -> PreTrainedModel:
    """The policy without dropout, in the dtype in which it learns or an adapter learns on it."""
    frozen = config.adapter is not None
    dtype = training_dtype(stored_dtype(policy, runtime), runtime, frozen)
    model = load_policy(policy, dtype, runtime.trust_remote_code)
    remove_dropout(model)
    return model


def save_policy(
    model: Any, out: Path, policy: Path, config: AdaptedTraining, runtime: RuntimeConfig
) -> None:
    """Write what has learned into `out` as a plain model like `policy`; an adapter is merged into
    it and kept in `out/adapter`."""
    if config.adapter:
        model = save_and_merge(model, out)
    # TRL may have set a padding token, so the tokenizer is read again.
    tokenizer = load_tokenizer(policy, runtime.trust_remote_code)
    save_model(model, tokenizer, out, stored_dtype(policy, runtime), like=policy)
