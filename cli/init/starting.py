"""Values to start a recipe with that neither its models nor its prompts alone decide.

What follows from the models is chosen by `flows.preflight.fitting`, for a recipe that leaves it
out and for one that `tsalign init` writes alike. Here is what also depends on the machine and on
how many prompts there are. All are rules of thumb, and the recipe says where each comes from. No
torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa

from data.readers.prompts import conversations
from data.recipes.prompts import PromptsConfig
from data.recipes.recipe import RuntimeConfig
from flows.preflight.prompts import apart, read_files
from flows.preflight.sizes import shared_out
from models import devices
from models.checkpoints import (
    count_parameters,
    embedding_rows,
    has_template,
    parameter_words,
    read_config,
    read_json,
    weight_shapes,
)

TINY = 50_000_000  # parameters: a model below is trained in full anywhere
_FULL_BYTES = 16  # of a weight that learns: itself, its gradient and Adam's two, in float32
_TEMPLATE = 64  # tokens that a chat template adds to a short conversation, and to spare

# Without a GPU every completion takes long: so few prompts are held out and drawn at most.
_MOST_ON_A_CPU = {"dev_size": 50, "test_size": 100, "per_round": 100}


@dataclass(frozen=True)
class Machine:
    device: str  # "cpu" or "cuda"
    dtype: str
    memory: int  # bytes: of the GPU, or of the machine

    @property
    def words(self) -> str:
        name = "a GPU" if self.device == "cuda" else "a CPU"
        return f"{name} with {self.memory / 1e9:.0f} GB"


@dataclass(frozen=True)
class Model:
    """What files tell of a language model's cost."""

    parameters: int
    layers: int
    width: int
    vocabulary: int

    @property
    def words(self) -> str:
        return parameter_words(self.parameters)


@dataclass(frozen=True)
class Prompts:
    """Prompts of a file: how many, less those that are held out, and which is the longest."""

    read: int
    available: int
    repeated: int
    held_out: int | None  # of a file of its own


def this_machine() -> Machine:
    runtime = RuntimeConfig()
    return Machine(devices.device(runtime), devices.dtype(runtime), devices.memory())


def model_facts(path: Path, field: str) -> Model:
    """Sizes of a model from its config and file headers. Raises InputError."""
    config, shapes = read_config(path, field), weight_shapes(path, field)

    def known(*names: str) -> int:
        return next((int(config[name]) for name in names if config.get(name)), 0)

    return Model(
        parameters=count_parameters(path, field),
        layers=known("num_hidden_layers", "n_layer", "n_layers"),
        width=known("hidden_size", "n_embd", "d_model"),
        vocabulary=embedding_rows(shapes) or known("vocab_size"),
    )


def prompt_facts(name: str, held_out: str | None) -> tuple[Prompts, pa.Table]:
    """Counts and the table of all prompts. Raises InputError."""
    config = PromptsConfig(path=name, test_path=held_out)
    read = read_files(config)
    found, file = apart(config, read), read["path"][0].file
    tested = found.held.get("test")
    facts = Prompts(
        read=file.counts["read"],
        available=found.available,
        repeated=file.counts["duplicate"],
        held_out=None if tested is None else len(tested),
    )
    rest = found.pools[0]
    return facts, pa.concat_tables([rest, tested]) if tested is not None else rest


def method(model: Model, machine: Machine) -> Literal["full", "lora"]:
    """Full training where its weights, gradients and optimizer take at most half of a GPU.

    On a CPU only of tiny models: an adapter's steps are cheaper, and its files smaller to keep.
    """
    if model.parameters < TINY:
        return "full"
    fits = model.parameters * _FULL_BYTES <= machine.memory / 2
    return "full" if fits and machine.device == "cuda" else "lora"


def slow(model: Model, machine: Machine) -> bool:
    """Whether sampling takes so long here that everything should be small."""
    return machine.device == "cpu" and model.parameters >= TINY


def sizes(available: int, rounds: int, given: Mapping[str, int], small: bool) -> dict[str, int]:
    """Prompts held out for dev and test, and drawn in each of `rounds` rounds.

    Args:
        given: Sizes that are settled: 0 for a part that has a file of its own.
        small: For a machine on which every completion takes long.
    """
    found = shared_out(available, rounds, given)
    most = _MOST_ON_A_CPU if small else found
    return {name: min(size, most[name]) for name, size in found.items()}


def batch_size(per_round: int) -> int:
    """Rows of a step, so that a round has some thirty steps where there are pairs for them."""
    return next((size for size in (32, 16, 8) if per_round >= 30 * size), 8)


def micro_batch(model: Model, machine: Machine, full: bool, length: int, batch: int) -> int:
    """Pairs of a forward pass that fit in memory, a power of two; 0: the whole batch does.

    Counted are the logits of both answers in float32 with their gradients, and hidden states:
    of every layer on a CPU, of layers' borders on a GPU, where activations are checkpointed.
    """
    weights = model.parameters * (_FULL_BYTES if full else 4)
    kept = 2 * model.layers + 40 if machine.device == "cuda" else 60 * model.layers
    row = 2 * length * (12 * model.vocabulary + model.width * kept)
    room = max(0, int(machine.memory * 0.6) - weights)
    fits = max(1, room // max(1, row))
    return 0 if fits >= batch else 1 << (fits.bit_length() - 1)


def template(path: Path, field: str) -> str | None:
    """The name of a chat template for a policy that has none; None: it has one."""
    if has_template(path, field):
        return None
    file = path / "tokenizer.json"
    added = read_json(file, field).get("added_tokens") if file.is_file() else None
    known = {token.get("content") for token in added or []}
    return "chatml" if {"<|im_start|>", "<|im_end|>"} <= known else "plain"


def longest_prompt(tokenizer_file: Path, prompts: pa.Table) -> int | None:
    """Tokens of the longest prompt with its template, roughly; None: the file cannot tell."""
    if not tokenizer_file.is_file():
        return None
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(tokenizer_file))
    except Exception:  # the library raises no narrower class; preflight says what is wrong
        return None
    tokenizer.no_truncation()
    longest = 0
    for batch in prompts.select(["messages"]).to_batches(max_chunksize=1024):
        talks = list(conversations(pa.Table.from_batches([batch])))
        texts = ["\n".join(message["content"] for message in talk) for talk in talks]
        encoded = tokenizer.encode_batch(texts, add_special_tokens=False)
        lengths = (len(e.ids) + 8 * len(talk) for e, talk in zip(encoded, talks, strict=True))
        longest = max(longest, *lengths)
    return longest + _TEMPLATE
