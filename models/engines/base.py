"""What every generation engine does, in token ids: text is rendered and read in models/chat.py."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from data.errors import InputError, TrainingError
from models.chat import Tokenizer, decode_completion, end_of_turn
from models.checkpoints import check_same_architecture, weights_digest
from models.templates import length_before

OnProgress = Callable[[int, int], None]
FinishReason = Literal["stop", "length"]

_CANARY = "The quick brown fox jumps over the lazy dog, 1234567890 times."
_SAME = 1e-6  # nats; the same weights give the same bits, so this is generous
_EQUAL = 1e-2  # nats; in float32 `benchmarks.engine_parity` finds some 1e-6


@dataclass(frozen=True)
class Sampling:
    """How to decode: `k` completions per prompt; temperature 0 is greedy."""

    k: int
    temperature: float
    top_p: float
    max_tokens: int


@dataclass(frozen=True)
class Output:
    """One completion. `token_ids` has the end-of-turn token if it was produced, `text` never."""

    text: str
    token_ids: list[int]
    finish_reason: FinishReason
    n_tokens: int


class Engine(Protocol):
    """Serves one policy at a time. Prompts and completions are token ids."""

    name: str
    version: str

    def load(self, model_dir: Path) -> None:
        """Serve other weights of the same architecture; nothing cached of the old ones is used.

        Raises:
            TrainingError: the engine still answers with the old weights.
        """

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        seeds: Sequence[int],
        sampling: Sampling,
        on_progress: OnProgress | None = None,
    ) -> list[list[Output]]:
        """`sampling.k` completions for each prompt, in order; progress counts prompts.

        The randomness of a completion comes from its prompt's seed and its number alone, so
        neighbours in a batch change it only where rounding tips a nearly equal choice.

        Raises:
            InputError: a prompt is empty or leaves no room for a completion.
        """

    def logprobs(
        self, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]]
    ) -> list[list[float]]:
        """Log-probability of every completion token in nats, temperature 1.

        Raises:
            InputError: a prompt is empty, or one with its completion is too long.
        """

    def sleep(self) -> None:
        """Give accelerator memory back; `load` before the next use."""

    def close(self) -> None:
        """End the engine and every process it started. Idempotent."""


class Adapting(Engine, Protocol):
    """An engine that serves a policy as a base with adapters on it."""

    def adapt(self, folders: Sequence[Path], merged: Path) -> None:
        """Answer as the loaded weights with the adapters of these folders on them, each trained on
        what the last had left; with none as the weights are. `load` takes them off.

        Args:
            merged: The same policy in one, with which the answers are compared on a CPU.

        Raises:
            TrainingError: the engine answers as without them, or not as the merged policy.
        """


def sample_seeds(seed: int, k: int) -> list[int]:
    """Seeds of a prompt's `k` samples, 63 bits each.

    Hashed, as seed + i would give neighbouring prompts each other's random numbers. The first
    are the same for every `k`.
    """
    return [int(s) >> 1 for s in np.random.SeedSequence(seed).generate_state(k, np.uint64)]


def make_output(
    tokenizer: Tokenizer,
    token_ids: Sequence[int],
    stop: Sequence[int],
    marks: Sequence[str] = (),
) -> Output:
    """A completion from what an engine produced, cut after the first end-of-turn token.

    Or before the first of the words `marks`, where an end-of-turn token takes their place: the
    policy meant to end there, and is to learn how.
    """
    ids = list(token_ids)
    end = next((i for i, token_id in enumerate(ids) if token_id in stop), None)
    kept = ids if end is None else ids[: end + 1]
    said = kept if end is None else kept[:-1]
    before = length_before(tokenizer, said, marks) if marks else None
    if before is not None:
        said = said[:before]
        kept = [*said, end_of_turn(tokenizer)]
    reason: FinishReason = "length" if end is None and before is None else "stop"
    return Output(decode_completion(tokenizer, said), kept, reason, len(kept))


def check_lengths(lengths: Sequence[int], limit: int, what: str = "prompt") -> None:
    """InputError unless every length is from 1 to `limit` tokens."""
    for i, length in enumerate(lengths):
        if not 1 <= length <= limit:
            raise InputError(
                f"{what} {i} has {length} tokens, the engine takes 1 to {limit}; lower "
                "prompts.max_tokens or use a model with a longer context"
            )


def canary_logprobs(engine: Engine, tokenizer: Tokenizer) -> list[float]:
    """Log-probabilities of a fixed sentence: a fingerprint of the weights in use."""
    ids = tokenizer(_CANARY, add_special_tokens=False)["input_ids"][:32]
    return engine.logprobs([ids[:1]], [ids[1:]])[0]


def check_handover(before: Sequence[float], after: Sequence[float]) -> None:
    """TrainingError unless other weights gave the canary other log-probabilities.

    Sharper than a greedy answer, which a small update leaves as it was.
    """
    if np.abs(np.subtract(after, before)).max() <= _SAME:
        raise TrainingError(
            "the engine still serves the old weights after it was given new ones; "
            "start the run again, it resumes here with a fresh engine"
        )


def check_parity(expected: Sequence[float], found: Sequence[float]) -> None:
    """TrainingError unless the canary's log-probabilities are those that transformers gives.

    For float32: in half precision the rounding of two libraries hides a small update.
    """
    apart = float(np.abs(np.subtract(found, expected)).max())
    if not apart <= _EQUAL:
        raise TrainingError(
            f"the engine's log-probabilities are up to {apart:.2g} nats from those that "
            "transformers gives with the same weights; start the run again, it resumes here with a "
            "fresh engine, and if that does not help set generate.engine=transformers"
        )


@dataclass(frozen=True)
class Served:
    """What an engine serves, and the canary's log-probabilities under it."""

    model_dir: Path
    canary: list[float]


def hand_over(
    engine: Engine,
    tokenizer: Tokenizer,
    read: Callable[[Path], None],
    served: Served,
    model_dir: Path,
) -> Served:
    """Have the engine `read` other weights, and make sure that it answers with them.

    Raises:
        InputError: another architecture.
        TrainingError: the engine still serves the old weights.
    """
    check_same_architecture(served.model_dir, model_dir)
    read(model_dir)
    canary = canary_logprobs(engine, tokenizer)
    if weights_digest(model_dir) != weights_digest(served.model_dir):
        check_handover(served.canary, canary)
    return Served(model_dir, canary)
