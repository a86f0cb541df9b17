"""Chromium without a window, and a folder of runs that `tsalign open`'s server shows."""

import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import suppress
from threading import Thread
from urllib.request import urlopen

import pytest

from cli.report_server import Reports, ReportsServer
from data.store.store import Store
from data.summary import write_summary
from flows.earlier import whole
from flows.server import SETTINGS
from reports.report import write_report
from tests.reports import report_examples as examples

NAMES = ("chromium", "chromium-browser", "google-chrome")
SERIOUS = {"serious", "critical"}


@pytest.fixture(scope="module")
def browser():
    """Skips where playwright or a Chromium is absent.

    Not for the session: playwright runs an event loop in this thread, which Prefect would find.
    """
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("no Chromium on the PATH: install the system's chromium package")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []  # its sandbox refuses root
    with api.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=path, args=arguments)
        yield started
        started.close()


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Finished runs of several methods, an unfinished and a damaged one; their folder and store."""
    folder = tmp_path_factory.mktemp("my runs")
    store = Store(folder / "store")
    plain, careful = examples.aligned(), examples.aligned(last_adopted=False, judge="teacher")
    plain.run, careful.run, careful.seed = "plain", "careful", 1
    plain.config["evaluate"] = careful.config["evaluate"] = {"judge": "teacher"}
    plain.final.judge = "teacher"
    plain.notes = ["policy.model: a note on the inputs"]
    for summary, gain in ((plain, 0.0), (careful, 0.3)):
        rows = [row | {"policy_score": row["policy_score"] + gain} for row in examples.samples()]
        examples.store_answers(store, summary, rows)
    logged, open_ended = examples.logged(), examples.aligned()
    open_ended.run, open_ended.final, open_ended.finished = "unfinished", None, None
    open_ended.rounds = []
    for summary in (plain, careful, logged, open_ended):
        write_summary(folder / "runs" / summary.run / "summary.json", summary)
        if summary.finished:
            write_report(whole(summary), store, folder / "runs" / summary.run / "report.html")
    (folder / "runs" / "damaged").mkdir()
    (folder / "runs" / "damaged" / "summary.json").write_text("{")
    return folder / "runs", str(folder / "store")


@pytest.fixture(scope="session")
def address(runs):
    """Of the server of `tsalign open`, on a port of its own."""
    with ReportsServer(Reports(*runs)) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.url
        server.shutdown()
        thread.join()


@pytest.fixture
def visit(browser):
    """Open an address; what the page says on its console or asks of another place fails the test.

    Arguments: the address, `width` in pixels, `dark`, `script` (false: the browser runs none).
    """
    contexts, said, asked = [], [], []

    def visit(address, *, width=1280, dark=False, script=True):
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            java_script_enabled=script,
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert said == []
    here = ("http://127.0.0.1:", "blob:http://127.0.0.1:", "file:///")
    elsewhere = [url for url in asked if not url.startswith(here)]
    assert asked and elsewhere == []


@pytest.fixture(scope="session")
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
