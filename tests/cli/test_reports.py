"""The server behind `tsalign open`: its pages, and that it gives nothing else away."""

import http.client
import os
import signal
import socket
import subprocess
import sys
from threading import Thread
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest

from cli.main import main
from cli.report_server import Reports, ReportsServer
from data.places import one_at_a_time
from data.store.inventory import Runs
from data.store.store import Store
from data.summary import write_summary
from flows.earlier import whole
from reports.index import index_html
from reports.report import write_report
from tests.reports import report_examples as examples
from tests.reports.test_report import EVIL, Page, ours
from tests.repository import ROOT

SECRET = "not a report"


@pytest.fixture
def runs(tmp_path):
    """Two runs with answers, and files beside them that are no reports."""
    folder, store = tmp_path / "runs", Store(tmp_path / "store")
    for name in ("plain", "careful"):
        summary = examples.aligned()
        summary.run = name
        examples.store_answers(store, summary, examples.samples())
        write_summary(folder / name / "summary.json", summary)
        write_report(whole(summary), store, folder / name / "report.html")
        (folder / name / "error.log").write_text(SECRET)
    (tmp_path / "secret").write_text(SECRET)
    return folder


@pytest.fixture
def server(runs):
    with ReportsServer(Reports(runs, str(runs.parent / "store"))) as made:
        thread = Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def get(server, path, *, host=None, method="GET"):
    """Status, headers and text, of a path that is sent as it is."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=30)
    connection.putrequest(method, path, skip_host=True)
    connection.putheader("Host", host or f"127.0.0.1:{server.server_address[1]}")
    connection.endheaders()
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, dict(answer.getheaders()), text


def test_it_shows_the_runs_a_report_and_two_runs_side_by_side(server, runs):
    status, _, index = get(server, "/")
    assert status == 200 and 'href="plain/report.html"' in index and ours(Page(index))
    status, _, report = get(server, "/plain/report.html")
    assert status == 200 and '<a class="back" href="/">All runs</a>' in report
    written = (runs / "plain" / "report.html").read_text(encoding="utf-8")
    assert report.replace('<a class="back" href="/">All runs</a>', "") == written
    assert get(server, "/plain")[2] == report
    status, _, both = get(server, "/compare?run=plain&run=careful")
    assert status == 200 and "plain and careful" in both and "B over A" in both


@pytest.mark.parametrize(
    "path",
    ["/plain/error.log", "/plain/summary.json", "/../secret", "/plain/../../secret",
     "/%2e%2e/secret", "/..%2fsecret", "//etc/passwd", "/.lock", "/nope/report.html",
     "/plain/policy/model.safetensors", "/compare", "/compare?run=plain", "/favicon.ico", "/[",
     "/compare?run=plain&run=../secret", "/compare?run=plain&run=careful&run=plain",
     "/plain/report.html/"],
)  # fmt: skip
def test_nothing_else_can_be_read(server, path):
    status, _, text = get(server, path)
    assert status == 404 and SECRET not in text


def test_a_report_that_leads_elsewhere_is_not_followed(server, runs):
    report = runs / "plain" / "report.html"
    report.unlink()
    report.symlink_to(runs.parent / "secret")
    status, _, text = get(server, "/plain/report.html")
    assert status == 200 and SECRET not in text and "71.2" in text  # made from the summary
    report.unlink()
    os.mkfifo(report)  # would block whoever reads it
    assert "71.2" in get(server, "/plain/report.html")[2]


def test_an_unfinished_run_is_shown_as_it_is_now(server, runs):
    summary = examples.aligned()
    summary.run, summary.final, summary.finished, summary.rounds = "begun", None, None, []
    write_summary(runs / "begun" / "summary.json", summary)
    assert "No round is finished" in get(server, "/begun/report.html")[2]
    assert "not finished" in get(server, "/")[2]
    with one_at_a_time(runs / "begun"):
        assert "The run is going on; load this page again" in get(server, "/begun/report.html")[2]
        assert ">running<" in get(server, "/")[2]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "["])
def test_a_page_that_calls_this_machine_by_another_name_is_refused(server, host):
    status, _, text = get(server, "/", host=host)
    assert status == 421 and "plain" not in text


def test_a_tunnel_may_use_another_port(server):
    assert get(server, "/", host="localhost:9999")[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS"])
def test_it_only_answers_get(server, method):
    assert get(server, "/", method=method)[0] == 501


def test_what_no_one_has_foreseen_is_said_on_both_sides(server, capsys, monkeypatch, tmp_path):
    def break_(*_):
        raise ZeroDivisionError("<b>in a page</b>")

    monkeypatch.setattr(Reports, "report", break_)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    status, _, text = get(server, "/plain/report.html")
    assert status == 500 and "ZeroDivisionError" in text and "<b>in a page" not in text
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("tsalign: error: /plain/report.html: ZeroDivisionError")
    assert get(server, "/")[0] == 200


def test_a_browser_is_told_to_trust_nothing_else(server):
    _, headers, _ = get(server, "/plain/report.html")
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert "'unsafe-inline'" not in policy.split("script-src")[1]
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert not any(name.startswith("Access-Control") for name in headers)


def test_names_and_messages_made_of_markup_stay_text(tmp_path):
    summary = examples.aligned()
    summary.run = summary.recipe = summary.final.judge = EVIL
    shown = Page(index_html(Runs({summary.run: whole(summary)}, {"x": EVIL})))
    assert "img" not in shown.tags and ours(shown) and EVIL in shown.text
    assert EVIL[:20] not in Reports(tmp_path, "store").page(f"/{EVIL}").html


def test_an_index_without_runs_says_what_to_do(tmp_path):
    assert "tsalign align RECIPE" in Reports(tmp_path / "new", "store").page("/").html


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["open", "nope"], "no such run"),
        (["open", "../plain"], "is no name of a run"),
        (["open", "--port", "70000"], "less than or equal to 65535"),
    ],
)
def test_bad_input_is_one_line(arguments, said, runs, capsys):
    assert main([*arguments, "--no-browser", "--runs-dir", str(runs)]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_a_port_in_use_is_one_line(runs, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert main(["open", "--no-browser", "--port", port, "--runs-dir", str(runs)]) == 2
    assert f"port {port} of 127.0.0.1 cannot be used" in capsys.readouterr().err


def test_the_command_prints_the_address_loads_nothing_heavy_and_ends_on_ctrl_c(runs):
    code = (
        "import sys\nfrom cli.main import main\n"
        "status = main(sys.argv[1:])\n"
        "heavy = {'torch', 'transformers', 'prefect'} & set(sys.modules)\n"
        "assert not heavy, heavy\nsys.exit(status)"
    )
    places = ["--runs-dir", str(runs), "--store", str(runs.parent / "store")]
    process = subprocess.Popen(
        [sys.executable, "-c", code, "open", "plain", "--no-browser", *places],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1", "COLUMNS": "80"},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        address = process.stdout.readline().removeprefix("Reports: ").strip()
        assert urlsplit(address).hostname == "127.0.0.1"
        with urlopen(address, timeout=30) as answer:
            assert "71.2" in answer.read().decode()
        with urlopen(address.replace("plain/report.html", "compare?run=plain&run=careful")) as both:
            assert both.status == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
