"""Pictures of the UI and of a report, for the docs; needs Chromium and `tsalign operate start`.

python -m benchmarks.screenshots FLOW_RUN_ID RUN_FOLDER [--ui http://127.0.0.1:4200]
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

IMAGES = Path("docs/images")


def shoot(browser: str, address: str, name: str, width: int, height: int) -> None:
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(
            [
                *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
                *(f"--user-data-dir={profile}", "--virtual-time-budget=60000"),
                *(f"--window-size={width},{height}", f"--screenshot={IMAGES / name}", address),
            ],
            check=True,
            stderr=subprocess.DEVNULL,
            timeout=180,
        )
    sys.stdout.write(f"{IMAGES / name}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("flow_run")
    parser.add_argument("run", type=Path)
    parser.add_argument("--ui", default="http://127.0.0.1:4200")
    args = parser.parse_args()
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        raise SystemExit("no chromium or google-chrome on the PATH; install one")
    IMAGES.mkdir(exist_ok=True)
    shoot(browser, f"{args.ui}/runs/flow-run/{args.flow_run}", "flow-run.png", 1280, 900)
    shoot(browser, f"{args.ui}/artifacts", "artifacts.png", 1280, 420)
    shoot(browser, (args.run / "report.html").resolve().as_uri(), "report.png", 1280, 1700)


if __name__ == "__main__":
    main()
