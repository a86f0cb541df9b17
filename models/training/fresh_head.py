"""A student of a model that has no head: its backbone below one label's new, random head.

Most encoders come without a head, as sentence encoders do. The new head has learnt nothing: what it
orders is ordered at random until it is trained.
"""

from pathlib import Path
from typing import Any

import torch

from data.recipes.recipe import RuntimeConfig
from models.hardware import stored_dtype
from models.loading import load_with_new_head
from models.silence import quiet
from models.text_pairs import load_reader
from models.training.trainers import save_model


@quiet()
def add_head(out: Path, *, model: Path, runtime: RuntimeConfig, seed: int) -> dict[str, Any]:
    """Save the model with a new head of one label in `out`: equal seeds give equal bytes.

    A model without a chat template is saved with that of its tokenizer's text pair. Raises
    InputError for one that transformers cannot load below a head.
    """
    dtype = stored_dtype(model, runtime)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        headed = load_with_new_head(model, dtype)
    save_model(headed, load_reader(model, runtime.trust_remote_code), out, dtype)
    return {"parameters": headed.num_parameters()}
