"""A reward model of a real language model's size, for timing alone: a fresh head judges nothing.

    python -m benchmarks.real && python -m benchmarks.real_reward

Writes FOLDER/reward (.real): SmolLM2-135M-Instruct with a reward head of random weights (seed 0).
benchmarks.plain_round takes it as the teacher where what counts is how long it reads.
"""

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from models.gguf import convert, read_header


def main() -> None:
    assert __doc__
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.real_reward",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", nargs="?", type=Path, default=Path(".real"))
    folder = parser.parse_args().folder
    path, out = folder / "smollm2.gguf", folder / "reward"
    if not path.exists():
        sys.exit(f"{path} is not there; run `make real` or `python -m benchmarks.real` first")

    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    with TemporaryDirectory() as plain:
        convert(path.resolve(), read_header(path.resolve(), "folder"), Path(plain), "folder")
        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_pretrained(
            plain, num_labels=1, dtype=torch.float32
        )
        model.config.pad_token_id = AutoTokenizer.from_pretrained(plain).pad_token_id
        model.save_pretrained(out)
        AutoTokenizer.from_pretrained(plain).save_pretrained(out)
    sys.stdout.write(f"{out}: a reward model that has learnt nothing\n")


if __name__ == "__main__":
    main()
