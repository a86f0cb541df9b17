"""The link that Prefect's UI shows of a finished run leads to its report."""

import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from urllib.request import urlopen

import pytest

from flows.server import SETTINGS

PUBLISH = """
import sys
from pathlib import Path
from prefect import flow
from data.summary import read_summary
from tasks.ui import publish_report

path = Path(sys.argv[1])

@flow
def align():
    publish_report(read_summary(path.with_name("summary.json")), path)

align()
"""


@pytest.fixture(scope="module")
def prefect_ui(tmp_path_factory):
    """The address of a Prefect server with its UI, and the environment of its clients."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    home = tmp_path_factory.mktemp("prefect")
    environment = {**os.environ, **SETTINGS, "PREFECT_HOME": str(home)}
    environment |= {"PREFECT_API_URL": f"{url}/api", "DO_NOT_TRACK": "1"}
    command = ["server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (home / "server.log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "prefect", *command], env=environment, stdout=log, stderr=log
        )
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and server.poll() is None:
            with suppress(OSError), urlopen(f"{url}/api/health", timeout=5):
                break
            time.sleep(0.5)
        yield url, environment
    finally:
        server.terminate()
        server.wait(timeout=60)


def test_the_artifact_of_a_run_leads_to_its_report(visit, address, runs, prefect_ui):
    url, environment = prefect_ui
    environment = environment | {"TSALIGN_REPORTS_URL": address}
    report = runs[0] / "plain" / "report.html"
    subprocess.run(
        [sys.executable, "-c", PUBLISH, str(report)], env=environment, check=True, timeout=180
    )
    page = visit(f"{url}/artifacts/key/report")
    page.locator("a[href*='/artifacts/artifact/']").first.click(timeout=60_000)
    link = page.get_by_role("link", name="Open the report of plain")
    link.wait_for(timeout=60_000)
    assert page.get_by_text("tsalign open plain --runs-dir").count() == 1
    link.evaluate("(one) => one.removeAttribute('target')")  # in this tab, which is watched
    link.click()
    page.wait_for_url(f"{address}/plain/report.html")
    assert page.locator("h1").inner_text() == "plain"
