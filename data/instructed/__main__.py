"""`python -m data.instructed OUT_DIR`: the prompt files, the same for a seed on every machine."""

import argparse
import sys
from pathlib import Path

from data.instructed.prompts import SIZES, write

parser = argparse.ArgumentParser(
    prog="python -m data.instructed",
    description="Write train.jsonl, dev.jsonl and test.jsonl: everyday tasks with instructions "
    "that can be checked.",
)
parser.add_argument("folder", type=Path, metavar="OUT_DIR", help="made where it is not there")
parser.add_argument("--seed", type=int, default=0, help="another seed, other prompts (default: 0)")
for part, size in SIZES.items():
    parser.add_argument(
        f"--{part}", type=int, default=size, metavar="N", help=f"prompts (default: {size})"
    )
asked = parser.parse_args()
written = write(asked.folder, asked.seed, {part: getattr(asked, part) for part in SIZES})
sys.stdout.writelines(f"{path}: {count:,} prompts\n" for path, count in written.items())
