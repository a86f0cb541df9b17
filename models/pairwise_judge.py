"""A language model as judge of two answers: it is asked which is better, in both orders.

Language models prefer a place, often the first, whatever stands there. A verdict that turns with
the order says nothing about the answers, so callers get both. The wording is this project's.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data.recipes.recipe import RuntimeConfig
from models.chat import Messages, load_tokenizer, render_completion
from models.checkpoints import context_length
from models.logps import sequence_logps
from models.training.trainers import OnProgress

VERDICTS = ("A", "B")
QUESTION = """Here are a conversation and two answers to it. Which answer is better?

{conversation}

[Answer A]
{first}

[Answer B]
{second}

Reply with the letter of the better answer, A or B, and nothing else."""


def question(messages: Messages, first: str, second: str) -> list[dict[str, str]]:
    """What the judge is asked, as one turn: not every chat template knows a system message."""
    talk = "\n\n".join(f"[{m['role'].capitalize()}]\n{m['content']}" for m in messages)
    content = QUESTION.format(conversation=talk, first=first, second=second)
    return [{"role": "user", "content": content}]


def pairwise_log_odds(
    model_dir: Path,
    items: Sequence[tuple[Messages, str, str]],
    *,
    runtime: RuntimeConfig,
    on_progress: OnProgress | None = None,
) -> np.ndarray:
    """By how much the judge prefers the first of two answers, asked in both orders.

    Args:
        items: (messages, one answer, another answer).

    Returns:
        Shape (len(items), 2), float64, nats: log P(verdict for the first answer) minus
        log P(verdict for the other) where the first is shown as A, and where it is shown as B.
        Exchanging the two answers exchanges the columns and the sign. NaN for a pair that is
        longer than the judge's context: nothing is ever cut.

    Raises:
        InputError: the judge's tokenizer or chat template is of no use.
    """
    asked = [
        (question(messages, *order), verdict)
        for messages, one, other in items
        for order in ((one, other), (other, one))
        for verdict in VERDICTS
    ]
    fits = _fits(model_dir, asked, runtime).reshape(len(items), 4).all(axis=1)
    logps = np.full((len(items), 2, 2), np.nan)  # item, order, verdict
    readable = [item for item, fit in zip(asked, fits.repeat(4), strict=True) if fit]
    if readable:
        sums, _ = sequence_logps(model_dir, readable, runtime=runtime, on_progress=on_progress)
        logps[fits] = sums.reshape(-1, 2, 2)
    for_a: np.ndarray = logps[:, :, 0] - logps[:, :, 1]
    for_a[:, 1] *= -1  # the first answer was B
    return for_a


def _fits(
    model_dir: Path, asked: Sequence[tuple[Messages, str]], runtime: RuntimeConfig
) -> np.ndarray:
    """Whether question and verdict fit the judge's context, shape (len(asked),)."""
    tokenizer = load_tokenizer(model_dir, runtime.trust_remote_code)
    limit = context_length(model_dir, "judge") or np.inf
    lengths = [sum(map(len, render_completion(tokenizer, *item))) for item in asked]
    fits: np.ndarray = np.array(lengths, np.int64) <= limit
    return fits
