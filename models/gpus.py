"""Seconds and memory of a model's work on a GPU, on paper: a roofline of published figures.

Nothing here was measured. Work takes what its arithmetic takes at a share of the peak, or what its
bytes take at a share of the bandwidth, whichever is longer (Williams et al. 2009, "Roofline"). A
token costs 2 operations a parameter to read and 4 more to learn from (Kaplan et al. 2020, arXiv
2001.08361, section 2.1); attention over the sequence, small for short ones, is left out.
"""

import re
from dataclasses import dataclass
from math import ceil
from typing import Any, NamedTuple

from data.errors import InputError
from data.nearest import did_you_mean

# Shares of the published peaks. LEARN: Llama 3 reports 38 to 43 % of BF16's peak in training on
# H100s (arXiv 2407.21783, table 4), PaLM 46 % (arXiv 2204.02311). READ and BANDWIDTH are this
# project's assumptions: batches of texts of unequal lengths, kernels that do not reach the peak.
LEARN, READ, BANDWIDTH = 0.38, 0.45, 0.6
ROOM = 0.9  # of the memory that an engine takes, vLLM's default
AT_ONCE = 256  # sequences that an engine samples at once, at most
SHARED = 0.9  # of the work that GPUs together do, of what they would do apart
ENGINE_SECONDS = 60.0  # in which an engine starts: assumed
READ_BYTES = 2e9  # of a model's files a second: assumed
_BYTES = 2  # of a weight or of a cached value in bfloat16
_TRAINED_BYTES = 16  # of a weight that learns: itself, its gradient, Adam's two, in float32
_ADAPTER = 0.01  # of the weights, an adapter's


class Gpu(NamedTuple):
    """Published peaks of one GPU."""

    name: str
    flops: float  # operations a second in bfloat16, dense
    bandwidth: float  # bytes a second
    memory: float  # bytes


# NVIDIA's data sheets (H100 and H200 SXM, A100 80 GB SXM, L40S, L4), whose figures "with sparsity"
# are halved.
GPUS = {
    one.name: one
    for one in (
        Gpu("h100", 989.4e12, 3.35e12, 80e9),
        Gpu("h200", 989.4e12, 4.8e12, 141e9),
        Gpu("a100", 312e12, 2.039e12, 80e9),
        Gpu("l40s", 362.05e12, 0.864e12, 48e9),
        Gpu("l4", 121e12, 0.3e12, 24e9),
    )
}


class Gpus(NamedTuple):
    """Some GPUs of one kind, of one machine."""

    gpu: Gpu
    number: int = 1

    @property
    def name(self) -> str:
        return f"{self.number}x{self.gpu.name}" if self.number > 1 else self.gpu.name

    @property
    def share(self) -> float:
        """How many GPUs' work they do together."""
        return self.number * SHARED if self.number > 1 else 1.0


def named_gpus(text: str) -> Gpus:
    """ "h100" or "8xh100". Raises InputError for any other."""
    count, name = re.fullmatch(r"(?:(\d+)x)?(.*)", text.strip().lower(), re.DOTALL).groups()  # type: ignore[union-attr]
    if name not in GPUS or count == "0":
        known = ", ".join(GPUS)
        near = did_you_mean(name, GPUS)
        raise InputError(f"--device: {text!r} is none of {known}, or 8x one of them{near}")
    return Gpus(GPUS[name], int(count or 1))


@dataclass(frozen=True)
class Sizes:
    """What of a model decides its cost."""

    parameters: int
    layers: int
    hidden: int
    cached: int  # numbers that a layer keeps of a token: keys and values

    @property
    def bytes(self) -> float:
        return float(self.parameters * _BYTES)

    @property
    def token_bytes(self) -> float:
        """Of a token that the engine keeps while it samples."""
        return float(self.layers * self.cached * _BYTES)


def sizes_of(config: dict[str, Any], parameters: int) -> Sizes:
    """By a model's config.json; names as families have them."""

    def first(*names: str) -> int:
        return int(next((config[name] for name in names if config.get(name)), 0))

    hidden = first("hidden_size", "n_embd", "d_model")
    heads = first("num_attention_heads", "n_head", "num_heads") or 1
    width = first("head_dim") or hidden // heads
    kept = first("num_key_value_heads") or heads
    layers = first("num_hidden_layers", "n_layer", "num_layers")
    return Sizes(parameters, layers, hidden, 2 * kept * width)


class Estimate(NamedTuple):
    """On paper: seconds, and bytes on the fullest GPU."""

    seconds: float
    memory: float


def sampling(
    gpus: Gpus, model: Sizes, prompts: int, k: int, prompt_tokens: float, answer_tokens: float
) -> Estimate:
    """K answers to each prompt by an engine that keeps a cache and reads a prompt once for all K.

    A step gives every sequence of a batch a token: it reads all weights and the cache, and computes
    2 operations a parameter and sequence. Engines side by side share the prompts; a model that
    takes more than half of a GPU is shared by two, four ... of them.

    Raises:
        InputError: it fits on none.
    """
    gpu, together = gpus.gpu, 1
    while model.bytes / together > 0.5 * ROOM * gpu.memory:
        together *= 2
    if together > gpus.number:
        raise InputError(f"{model.parameters / 1e9:.0f} billion weights do not fit on {gpus.name}")
    engines = gpus.number // together
    flops, bandwidth = (peak * together for peak in (gpu.flops * READ, gpu.bandwidth * BANDWIDTH))
    each = prompts * k / engines
    whole = (prompt_tokens + answer_tokens) * model.token_bytes
    room = ROOM * gpu.memory * together - model.bytes
    batch = max(1.0, min(AT_ONCE, each, room // whole if whole else AT_ONCE))
    cached = batch * model.token_bytes * (prompt_tokens + answer_tokens / 2)
    step = max((model.bytes + cached) / bandwidth, 2 * model.parameters * batch / flops)
    reading = 2 * model.parameters * prompt_tokens * prompts / engines / flops
    seconds = reading + ceil(each / batch) * answer_tokens * step
    return Estimate(seconds / (SHARED if gpus.number > 1 else 1.0), ROOM * gpu.memory)


def reading(gpus: Gpus, model: Sizes, tokens: float, texts_at_once: float = 16384) -> Estimate:
    """A model reads so many tokens, the texts divided among GPUs that each have all of it."""
    seconds = 2 * model.parameters * tokens / (gpus.gpu.flops * READ * gpus.share)
    passing = texts_at_once * model.hidden * 8 * _BYTES
    return Estimate(seconds, model.bytes + passing)


def training(
    gpus: Gpus, model: Sizes, tokens: float, method: str = "full", at_once: float = 4096
) -> Estimate:
    """A model learns from so many tokens, epochs included.

    Activations are computed twice (gradient checkpointing, on here on a GPU): 8 operations a
    parameter and token where all weights learn, 6 where an adapter does, as the weights have no
    gradient. Weights that learn take 16 bytes, divided among the GPUs (FSDP); frozen ones 2, a half
    in 4 bits.

    Args:
        at_once: Tokens of a forward pass on one GPU, of which each layer keeps its input.
    """
    full = method == "full"
    operations = (8 if full else 6) * model.parameters * tokens
    seconds = operations / (gpus.gpu.flops * LEARN * gpus.share)
    held = model.bytes if method != "qlora" else model.bytes / 4
    learning = _TRAINED_BYTES * model.parameters * (1 if full else _ADAPTER)
    weights = learning / gpus.number if full else held + learning
    return Estimate(seconds, weights + at_once * model.hidden * model.layers * _BYTES)
