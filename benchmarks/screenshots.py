"""Pictures of a report, of the page of runs and of Prefect's UI, for the docs; needs Chromium.

python -m benchmarks.screenshots RUN_FOLDER [--store URL] [--flow-run ID --ui http://127.0.0.1:4200]

The last two are those of a finished run of `tsalign operate start`.
"""

import argparse
import shutil
import sys
from pathlib import Path
from threading import Thread
from typing import Any

from cli.report_server import Reports, ReportsServer
from data.places import store_url

IMAGES = Path("docs/images")


def shoot(browser: Any, address: str, name: str, width: int, height: int, dark: bool) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
    )
    page = context.new_page()
    page.goto(address, wait_until="networkidle")
    page.wait_for_timeout(1000)  # Prefect's UI draws what it has fetched
    page.screenshot(path=str(IMAGES / name))
    context.close()
    sys.stdout.write(f"{IMAGES / name}\n")


def main() -> None:
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--store", default=store_url())
    parser.add_argument("--flow-run")
    parser.add_argument("--ui", default="http://127.0.0.1:4200")
    args = parser.parse_args()
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        raise SystemExit("no chromium or google-chrome on the PATH; install one")
    IMAGES.mkdir(exist_ok=True)
    run = args.run.resolve()
    with ReportsServer(Reports(run.parent, args.store)) as server, sync_playwright() as driver:
        Thread(target=server.serve_forever, daemon=True).start()
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        report = (run / "report.html").as_uri()
        pages = [
            (report, "report.png", 1280, 1080, False),
            (report, "report-phone.png", 390, 1080, True),
            (f"{server.url}/", "runs.png", 1280, 560, False),
        ]
        if args.flow_run:
            flow_run = f"{args.ui}/runs/flow-run/{args.flow_run}"
            pages.append((flow_run, "flow-run.png", 1280, 900, False))
            pages.append((f"{args.ui}/artifacts", "artifacts.png", 1280, 420, False))
        for page in pages:
            shoot(browser, *page)
        browser.close()
        server.shutdown()


if __name__ == "__main__":
    main()
