"""Pictures of a report, of the page of runs and of Prefect's UI, for the docs; needs Chromium.

python -m benchmarks.screenshots RUN_FOLDER [--store URL] [--flow-run ID --ui http://127.0.0.1:4200]

The last two are those of a finished run of `tsalign operate start`.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from threading import Thread

from data.places import store_url
from flows.reports import Reports, ReportsServer

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
    parser.add_argument("run", type=Path)
    parser.add_argument("--store", default=store_url())
    parser.add_argument("--flow-run")
    parser.add_argument("--ui", default="http://127.0.0.1:4200")
    args = parser.parse_args()
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        raise SystemExit("no chromium or google-chrome on the PATH; install one")
    IMAGES.mkdir(exist_ok=True)
    run = args.run.resolve()
    with ReportsServer(Reports(run.parent, args.store)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        shoot(browser, (run / "report.html").as_uri(), "report.png", 1280, 1300)
        shoot(browser, f"{server.url}/", "runs.png", 1280, 560)
        server.shutdown()
    if args.flow_run:
        shoot(browser, f"{args.ui}/runs/flow-run/{args.flow_run}", "flow-run.png", 1280, 900)
        shoot(browser, f"{args.ui}/artifacts", "artifacts.png", 1280, 420)


if __name__ == "__main__":
    main()
