"""The judge reads no words of a local language model, but how probable it holds A and B to be.

That gives a margin, in nats, and there is nothing to parse: a small model that names a letter can
judge, where one that would have to end a text with a verdict cannot.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data.recipes.recipe import RuntimeConfig
from models.chat import Messages, load_tokenizer, render_completion
from models.checkpoints import context_length
from models.judges.question import DEFAULT, Question
from models.logps import sequence_logps
from models.training.trainers import OnProgress

LETTERS = ("A", "B")


def log_odds(
    model_dir: Path,
    items: Sequence[tuple[Messages, str, str]],
    *,
    question: Question | None = None,
    runtime: RuntimeConfig,
    on_progress: OnProgress | None = None,
) -> tuple[np.ndarray, int]:
    """By how much the judge prefers the first of two answers, asked in both orders.

    Args:
        items: (messages, one answer, another answer).
        question: Default: this project's wording.

    Returns:
        Log-odds of shape (len(items), 2), float64, nats: log P(letter of the first answer) minus
        log P(letter of the other) where the first is shown as A, and where it is shown as B.
        Exchanging the two answers exchanges the columns and the sign. NaN for a pair that is
        longer than the judge's context: nothing is ever cut. And how many tokens were read.

    Raises:
        InputError: the judge's tokenizer or chat template, or the question, is of no use.
    """
    wording = question or Question.read(DEFAULT)
    asked = [
        (wording.ask(messages, *order, letter=True), letter)
        for messages, one, other in items
        for order in ((one, other), (other, one))
        for letter in LETTERS
    ]
    lengths = _lengths(model_dir, asked, runtime).reshape(len(items), 4)
    fits = (lengths <= (context_length(model_dir, "judge") or np.inf)).all(axis=1)
    logps = np.full((len(items), 2, 2), np.nan)  # item, order, letter
    readable = [item for item, fit in zip(asked, fits.repeat(4), strict=True) if fit]
    if readable:
        sums, _ = sequence_logps(model_dir, readable, runtime=runtime, on_progress=on_progress)
        logps[fits] = sums.reshape(-1, 2, 2)
    for_a: np.ndarray = logps[:, :, 0] - logps[:, :, 1]
    for_a[:, 1] *= -1  # the first answer was B
    return for_a, int(lengths[fits].sum())


def _lengths(
    model_dir: Path, asked: Sequence[tuple[Messages, str]], runtime: RuntimeConfig
) -> np.ndarray:
    """Tokens of question and letter, shape (len(asked),)."""
    tokenizer = load_tokenizer(model_dir, runtime.trust_remote_code)
    return np.array(
        [sum(map(len, render_completion(tokenizer, *item))) for item in asked], np.int64
    )
