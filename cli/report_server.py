"""The reports of a folder of runs in the browser: a small server on loopback, for reading only.

It answers GET for four kinds of page and opens no other file: the runs, a run's report, two runs
side by side, and a line on what is not there. A page of another site cannot read it: whoever asks
under another name than this machine's is refused (DNS rebinding), and nothing allows another
origin. It asks for no key, so whoever works on the same machine can read the reports too.
"""

import os
import stat
import sys
import webbrowser
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from data.errors import ArtifactError, InputError
from data.places import going_on
from data.store.inventory import run_folder, summaries
from data.store.store import Store
from data.summary import read_summary
from flows.earlier import whole
from flows.problems import log_of_a_command, unexpected
from reports.compare import comparison_text
from reports.index import index_html
from reports.page import message_html, script_digest
from reports.report import report_text
from reports.text import NO_ROUND, NOT_FINISHED

HOST = "127.0.0.1"
NAMES = {HOST, "localhost"}  # by which this machine may be called
REPORT = "report.html"
_GOES_ON = "The run is going on; load this page again for what has come since."
_NAV = '<nav aria-label="Sections">'


class Page(NamedTuple):
    status: HTTPStatus
    html: str


class Reports:
    """The pages of a folder of runs, made on request."""

    def __init__(self, runs_dir: Path, store: str) -> None:
        self.runs_dir = runs_dir
        self.store = store

    def page(self, target: str) -> Page:
        """What a request's target, path and query, is answered with."""
        path, _, query = target.partition("?")
        try:
            if path == "/":
                found = summaries(self.runs_dir)
                running = [name for name in found.readable if going_on(self.runs_dir / name)]
                shown = {name: whole(one) for name, one in found.readable.items()}
                return _found(index_html(found._replace(readable=shown), running))
            if path == "/compare":
                return _found(self.comparison(parse_qs(query).get("run", [])))
            name, _, file = path[1:].partition("/")
            if file in ("", REPORT):
                return _found(self.report(name))
        except (InputError, ArtifactError) as error:
            return Page(HTTPStatus.NOT_FOUND, message_html("Not to be shown", str(error)))
        return Page(HTTPStatus.NOT_FOUND, message_html("Not here", "There is no such page."))

    def report(self, name: str) -> str:
        """The report as it was written; of a run that has none yet, as it would be.

        Raises:
            InputError: there is no such run, or its summary cannot be read.
        """
        folder = run_folder(self.runs_dir, name)
        summary = whole(read_summary(folder / "summary.json"))
        running = going_on(folder)
        html = _regular(folder / REPORT) if summary.finished and not running else None
        if html is None:
            html = report_text(summary, Store(self.store))
        if running:
            html = html.replace(NOT_FINISHED, _GOES_ON).replace(NO_ROUND, _GOES_ON)
        return html.replace(_NAV, f'{_NAV}<a class="back" href="/">All runs</a>', 1)

    def comparison(self, names: list[str]) -> str:
        """Two runs side by side. Raises InputError."""
        if len(names) != 2:
            raise InputError("Tick two runs to compare.")
        a, b = (
            whole(read_summary(run_folder(self.runs_dir, name) / "summary.json")) for name in names
        )
        html = comparison_text(a, b, Store(self.store))
        return html.replace(_NAV, f'{_NAV}<a class="back" href="/">All runs</a>', 1)


def _found(html: str) -> Page:
    return Page(HTTPStatus.OK, html)


def _regular(path: Path) -> str | None:
    """A file's text; None where there is none, or something that leads elsewhere."""
    with suppress(OSError, UnicodeDecodeError):
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(handle, encoding="utf-8") as file:
            if stat.S_ISREG(os.fstat(handle).st_mode):
                return file.read()
    return None


class _Handler(BaseHTTPRequestHandler):
    server: "ReportsServer"
    server_version, sys_version = "tsalign", ""
    timeout = 60  # a client that says nothing holds no thread for ever

    def do_GET(self) -> None:
        host = ""
        with suppress(ValueError):  # what is no host is not ours
            host = urlsplit(f"//{self.headers.get('Host', '')}").hostname or ""
        if host in NAMES:
            page = self._page()
        else:
            said = f"This server answers to http://{HOST} and http://localhost alone."
            page = Page(HTTPStatus.MISDIRECTED_REQUEST, message_html("Not by this name", said))
        self._send(page)

    def _page(self) -> Page:
        """The page asked for; what no one has foreseen is said on both sides."""
        try:
            return self.server.reports.page(self.path)
        except Exception as error:
            line = unexpected(error, log_of_a_command())
            sys.stderr.write(f"tsalign: error: {self.path}: {line}\n")
            return Page(HTTPStatus.INTERNAL_SERVER_ERROR, message_html("An error", str(line)))

    def _send(self, page: Page) -> None:
        body = page.html.encode("utf-8", errors="backslashreplace")
        self.send_response(page.status)
        for name, value in {
            "Content-Type": "text/html; charset=utf-8",
            "Content-Length": str(len(body)),
            "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
            f"script-src '{script_digest()}'; form-action 'self'; base-uri 'none'; "
            "frame-ancestors 'none'",
            "Cross-Origin-Resource-Policy": "same-origin",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """The terminal shows the address and nothing else."""


class ReportsServer(ThreadingHTTPServer):
    """Listens on loopback from the moment it is made; answers while `serve_forever` runs."""

    daemon_threads = True

    def __init__(self, reports: Reports, port: int = 0) -> None:
        """Raises InputError where the port cannot be had; 0 takes a free one."""
        self.reports = reports
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            raise InputError(
                f"port {port} of {HOST} cannot be used ({error.strerror}); choose another --port"
            ) from error

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that goes away is nothing to report; anything else is."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def serve_reports(
    runs_dir: Path, store: str, run: str | None = None, *, port: int = 0, browser: bool = True
) -> None:
    """Show the runs, or the report of one, until Ctrl-C.

    Args:
        port: 0 takes a free one.
        browser: Open it there; else, or where there is none, the address is printed alone.

    Raises:
        InputError: there is no such run, or the port cannot be had.
    """
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    if run is not None:
        read_summary(run_folder(runs_dir, run) / "summary.json")
    summaries(runs_dir)
    with ReportsServer(Reports(runs_dir, store), port) as server:
        address = f"{server.url}/{run}/{REPORT}" if run else f"{server.url}/"
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        console.print(f"Reports: {address}", markup=False)
        console.print("Ctrl-C ends it.", markup=False)
        try:
            if browser and not webbrowser.open(address):
                console.print("No browser was found; open the address in one.", markup=False)
            thread.join()
        except KeyboardInterrupt:
            server.shutdown()
