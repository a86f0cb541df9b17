"""Models made of SmolLM2-135M-Instruct, for benchmarks of real size.

    python -m benchmarks.real && python -m benchmarks.real_models

Writes into FOLDER (.real), beside the GGUF file that they are made of: `smollm2`, the model itself
as a Hugging Face folder; `smollm2-cut`, of whose thirty layers `--layers` are left, evenly spaced
(of seven: 53 million parameters that have to learn to speak again), a student; and `reward`, the
model with a reward head of random weights (seed 0). It judges nothing: benchmarks.plain_round takes
it as the teacher where what counts is how long it reads.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from data.errors import InputError
from models.gguf import convert, read_header

LAYERS = 30  # of SmolLM2-135M


def kept(layers: int, of: int) -> list[int]:
    """Numbers of the layers that stay, from the first to the last."""
    return [round(at * (of - 1) / (layers - 1)) for at in range(layers)] if layers > 1 else [0]


def cut(model: Any, layers: int) -> list[int]:
    """Leave so many layers in a Llama; the numbers of those that stay."""
    from torch.nn import ModuleList

    stay = kept(layers, len(model.model.layers))
    model.model.layers = ModuleList(model.model.layers[at] for at in stay)
    for at, layer in enumerate(model.model.layers):
        layer.self_attn.layer_idx = at
    model.config.num_hidden_layers = len(stay)
    if getattr(model.config, "layer_types", None):
        model.config.layer_types = [model.config.layer_types[at] for at in stay]
    return stay


def main() -> None:
    assert __doc__
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.real_models",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", nargs="?", type=Path, default=Path(".real"))
    parser.add_argument("--layers", type=int, default=7, help="of the student")
    asked = parser.parse_args()
    if not 1 <= asked.layers <= LAYERS:
        parser.error(f"--layers: must be from 1 to {LAYERS}")
    gguf, whole = asked.folder / "smollm2.gguf", asked.folder / "smollm2"
    if not gguf.exists():
        sys.exit(f"{gguf} is not there; run `make real-models` first")

    import torch
    from transformers import (
        AutoModelForCausalLM,
        AutoModelForSequenceClassification,
        AutoTokenizer,
    )

    try:
        convert(gguf.resolve(), read_header(gguf.resolve(), str(gguf)), whole, str(gguf))
    except (InputError, OSError) as error:
        sys.exit(str(error))
    tokenizer = AutoTokenizer.from_pretrained(whole)
    student: Any = AutoModelForCausalLM.from_pretrained(whole, dtype=torch.float32)
    stay = cut(student, asked.layers)
    torch.manual_seed(0)
    reward = AutoModelForSequenceClassification.from_pretrained(
        whole, num_labels=1, dtype=torch.float32
    )
    reward.config.pad_token_id = tokenizer.pad_token_id
    for name, model in (("smollm2-cut", student), ("reward", reward)):
        model.save_pretrained(asked.folder / name)
        tokenizer.save_pretrained(asked.folder / name)
    sys.stdout.write(
        f"{whole}: the model\n"
        f"{asked.folder / 'smollm2-cut'}: layers {stay}, {student.num_parameters():,} parameters\n"
        f"{asked.folder / 'reward'}: a reward model that has learnt nothing\n"
    )


if __name__ == "__main__":
    main()
