"""What Prefect's UI is given of a round."""

import base64
from xml.etree import ElementTree

from flows.earlier import whole
from reports.drawing import headline_curve
from reports.prefect_ui import SAMPLES, data_uri, report_link, samples, table_rows
from tests.reports import report_examples as examples


def row(number, base, policy, text="fine"):
    return {
        "prompt_id": f"p{number}",
        "dataset": "sums",
        "base_completion": "base " + text,
        "policy_completion": "policy " + text,
        "base_score": base,
        "policy_score": policy,
    }


def test_samples_begin_with_the_largest_gain_and_then_the_largest_loss():
    rows = [row(1, 0.5, 0.6), row(2, 0.1, 1.0), row(3, 0.9, 0.2), row(4, 0.5, 0.4), row(5, 1, None)]
    shown = samples(rows)
    order = [shown.index(f"    p{number}") for number in (2, 1, 3, 4)]
    assert order == sorted(order) and "p5" not in shown


def test_a_sample_shows_its_prompt_or_the_id_where_the_text_is_nowhere():
    asked = row(1, 0.1, 1.0) | {"messages": [{"role": "user", "content": "What is\n# 2?"}]}
    shown = samples([asked, row(2, 0.1, 1.0)])
    assert "\n    What is\n    # 2?\n" in shown and "\n    p2\n" in shown and "p1" not in shown
    endless = asked | {"messages": [{"role": "user", "content": "x" * 10_000}]}
    assert len(samples([endless])) < 2_000


def test_at_most_a_few_are_shown_and_none_where_there_is_none():
    shown = samples([row(number, 0.0, 1.0) for number in range(20)])
    assert shown.count("###") == SAMPLES and "None." in shown.split("Worst losses")[1]


def test_an_answer_cannot_pass_for_markup():
    shown = samples([row(1, 0.0, 1.0, "\n# heading\n<script>")])
    assert "\n    # heading\n    <script>" in shown


def test_a_row_says_what_became_of_a_round():
    summary = whole(examples.aligned())
    entry, (shown, *others) = summary.rounds[0], table_rows(summary)
    assert shown["round"] == "1" and shown["pairs"] == f"{entry.ledger.trained:,}"
    assert shown["win rate"].startswith(f"{entry.policy.win_rate:.1%} ±") and len(others) == 2
    assert shown["stages reused"] == "9 of 15" and float(shown["seconds"]) > 0


def test_the_plot_is_an_image_of_its_own():
    uri = data_uri(str(headline_curve(whole(examples.aligned()))))
    head, _, body = uri.partition(",")
    assert head == "data:image/svg+xml;base64"
    assert ElementTree.fromstring(base64.b64decode(body)).tag == "{http://www.w3.org/2000/svg}svg"


def test_the_report_is_found_by_a_command_or_by_the_address_of_a_server(tmp_path, monkeypatch):
    path = tmp_path / "my runs" / "tiny" / "report.html"
    monkeypatch.delenv("TSALIGN_REPORTS_URL", raising=False)
    shown = report_link("tiny", path)
    assert f"    tsalign open tiny --runs-dir '{path.parents[1]}'" in shown
    assert "](" not in shown and "file://" not in shown
    monkeypatch.setenv("TSALIGN_REPORTS_URL", "http://127.0.0.1:4201/")
    link = "[Open the report of tiny](http://127.0.0.1:4201/tiny/report.html)"
    assert report_link("tiny", path).startswith(link)
    for other in ("javascript:alert(1)", "http://user:key@host", "nonsense", "file:///etc"):
        monkeypatch.setenv("TSALIGN_REPORTS_URL", other)
        assert report_link("tiny", path) == shown
