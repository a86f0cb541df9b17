"""What a language model gives as the next token at the positions of completions.

Its own forward pass makes the logits, as some architectures scale or cap them behind the output
layer; only the columns that hold a position of a completion go through that layer.
"""

from collections.abc import Sequence
from inspect import signature
from typing import Any

import torch

from models.chat import Tokenizer

Pair = tuple[list[int], list[int]]  # token ids of a prompt and of its completion

BATCH_TOKENS = 4096  # at most: the logits of a batch are in memory at once


def padded(pairs: Sequence[Pair], padding: int = 0) -> dict[str, torch.Tensor]:
    """input_ids, attention_mask and `predicts`, each of shape (len(pairs), longest pair).

    `predicts` is true where the next token is one of the completion: row by row they are the
    completions' tokens, one behind the other.
    """
    width = max(len(prompt) + len(completion) for prompt, completion in pairs)
    ids = torch.full((len(pairs), width), padding, dtype=torch.long)
    attention, predicts = torch.zeros_like(ids), torch.zeros_like(ids, dtype=torch.bool)
    for i, (prompt, completion) in enumerate(pairs):
        end = len(prompt) + len(completion)
        ids[i, :end] = torch.tensor(prompt + completion)
        attention[i, :end] = 1
        predicts[i, len(prompt) - 1 : end - 1] = True
    return {"input_ids": ids, "attention_mask": attention, "predicts": predicts}


def next_logits(
    model: Any, batch: dict[str, torch.Tensor], words: int | None = None
) -> torch.Tensor:
    """Logits at the positions that predict, (positions, words), float32.

    Embeddings are often padded to a round number: with `words`, what no text has is no token here.
    """
    predicts = batch["predicts"]
    first = int(predicts.any(0).nonzero()[0])
    columns = torch.arange(first, predicts.shape[1] - 1, device=predicts.device)
    asked: dict[str, Any] = {name: batch[name] for name in ("input_ids", "attention_mask")}
    if _takes(model, "logits_to_keep"):
        asked["logits_to_keep"] = columns
    logits: torch.Tensor = model(**asked, use_cache=False).logits
    if logits.shape[1] != len(columns):  # by code that comes with a model and gives all
        logits = logits[:, columns]
    return logits[predicts[:, first:-1]][:, :words].float()


def _takes(model: Any, name: str) -> bool:
    """Whether a forward pass may be given an argument of this name."""
    known = signature(model.forward).parameters
    return name in known or any(one.kind is one.VAR_KEYWORD for one in known.values())


def words_of(tokenizer: Tokenizer, rows: int | None = None) -> int:
    """How many ids a text can have, of a model with so many output rows."""
    known = int(max(tokenizer.get_vocab().values())) + 1
    return known if rows is None else min(known, rows)
