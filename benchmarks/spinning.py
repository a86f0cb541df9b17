"""How long should OpenMP threads spin while they wait? Trains a small trunk under each setting.

    python -m benchmarks.spinning

Prints wall and CPU seconds of the same short training with threads that never spin, spin briefly
(what the command line sets), and spin for long (the library's default).
"""

import os
import subprocess
import sys

SETTINGS = {
    "never": {"OMP_WAIT_POLICY": "PASSIVE"},
    "briefly": {"GOMP_SPINCOUNT": "20000"},
    "default": {},
}
TRAINING = """
import tempfile, time
from pathlib import Path
from data.recipes.recipe import RuntimeConfig
from data.world.generate import lessons
from models.world.models import train_tokenizer, train_trunk
texts = lessons(2400, 0)
with tempfile.TemporaryDirectory() as folder:
    tokenizer, trunk = Path(folder, "tokenizer"), Path(folder, "trunk")
    tokenizer.mkdir(), trunk.mkdir()
    train_tokenizer(tokenizer, conversations=texts)
    wall, cpu = time.perf_counter(), time.process_time()
    train_trunk(trunk, tokenizer=tokenizer, conversations=texts, runtime=RuntimeConfig(), seed=0)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{wall:.1f} s wall, {cpu:.1f} s CPU")
"""


def main() -> None:
    inherited = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY",)}
    for _ in range(3):
        for name, setting in SETTINGS.items():
            done = subprocess.run(
                [sys.executable, "-c", TRAINING],
                env=inherited | setting,
                capture_output=True,
                text=True,
                check=True,
            )
            sys.stdout.write(f"{name:8} {done.stdout.splitlines()[-1]}\n")


if __name__ == "__main__":
    main()
