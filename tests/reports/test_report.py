import itertools
import re
import subprocess
import sys
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser

import pytest

from data.durations import duration
from data.errors import ArtifactError
from data.ledger import Ledger
from data.store.store import Store
from flows.earlier import whole
from flows.loop.rules import warnings
from flows.loop.sections import ledger_levels
from flows.loop.wording import TS_ALIGN
from reports.page import report_html
from reports.report import headline_answers, write_report
from tests.reports import report_examples as examples
from tests.repository import ROOT

YAML = "run: embedded\nrounds: 3\n"
VOID = {"meta", "br", "input"}


class Page(HTMLParser):
    """Tags, attributes and text of a page; fails on tags that are not closed in order."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.open, self.parts = [], [], [], []
        self.scripts = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data):
        if self.open[-1:] == ["script"]:
            self.scripts.append(data)
        elif self.open[-1:] != ["style"]:
            self.parts.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.parts).replace("\u202f", " "))


def ours(shown):
    """Whether the page has one script: the one that its policy allows by its digest."""
    (code,) = shown.scripts
    digest = b64encode(sha256(code.encode()).digest()).decode()
    policies = [value for name, value in shown.attributes if name == "content" and "src" in value]
    return shown.tags.count("script") == 1 and f"script-src 'sha256-{digest}';" in policies[0]


def section(shown, title):
    """The text of a page from a section's title, past the links to it at the top."""
    return shown.text.split(f" {title} ")[-1]


def html(summary, samples=(), recipe=YAML):
    """The report of rounds as their flow tells them, with these answers."""
    summary = whole(summary)
    blocks = [block for section in summary.sections for block in section.blocks]
    found = [block.evaluation.artifact for block in blocks if block.kind == "answers"]
    return report_html(summary, dict.fromkeys(found, samples), recipe)


def page(summary, samples=(), recipe=YAML):
    return Page(html(summary, samples, recipe))


@pytest.fixture(scope="module")
def aligned():
    return page(examples.aligned(), examples.samples())


def test_the_headline_says_what_was_reached_and_how_sure_it_is(aligned):
    assert (
        "71.2 % win rate over the base policy, judged by the oracle, ties counting half"
        in aligned.text
    )
    assert "(95 % interval 68.8 to 73.5 %)" in aligned.text
    assert "On 700 held-out prompts the aligned policy (round 3) gave the better" in aligned.text
    assert "No change would be 50.0 %. It is better than the base" in aligned.text


@pytest.mark.parametrize(
    "title",
    ["Round by round", "By data set", "Answers side by side", "From asked to trained",
     "Are the labels right?", "Drift", "Cost", "Provenance"],
)  # fmt: skip
def test_the_report_has_every_section_and_its_link(aligned, title):
    assert title in aligned.text
    links = {value for name, value in aligned.attributes if name == "href"}
    ids = {f"#{value}" for name, value in aligned.attributes if name == "id"}
    assert links == ids and len(ids) == 8


def test_the_report_needs_nothing_but_itself(aligned):
    assert not {"link", "img", "iframe", "object", "base"} & set(aligned.tags) and ours(aligned)
    assert not [name for name, _ in aligned.attributes if name == "src" or name.startswith("on")]
    text = html(examples.aligned(), examples.samples())
    assert not re.search(r"url\(|@import|https?:", text)
    assert "default-src 'none'" in text


EVIL = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'{{ 7 * 7 }}</pre></style>"


def test_text_of_models_and_users_stays_text():
    summary = examples.aligned()
    summary.run = summary.versions["torch"] = summary.machine[EVIL] = summary.config["run"] = EVIL
    results = summary.final.by_dataset
    results[EVIL] = summary.rounds[0].policy.by_dataset[EVIL] = results["sorting"]
    summary.rounds[0].label_precision_by_dataset[EVIL] = 0.5
    summary.rounds[0].stages[0].stage = EVIL
    summary.final.judge = EVIL
    rows = [
        row
        | {
            "dataset": EVIL,
            "messages": [{"role": EVIL, "content": EVIL}] * 2,
            "base_completion": EVIL,
            "policy_completion": EVIL,
        }
        for row in examples.samples()
    ]
    shown = page(summary, rows, recipe=EVIL)
    assert "img" not in shown.tags and ours(shown)
    assert not [name for name, _ in shown.attributes if name.startswith("on")]
    assert shown.text.count(EVIL) > 20 and "49" not in shown.text.split("Recipe")[1]


def test_a_judge_with_a_name_made_of_markup_stays_text_in_logged_runs():
    summary = examples.logged()
    summary.config["logged"]["judge"] = EVIL
    assert ours(page(summary))


def test_every_level_of_the_ledger_adds_up_and_what_is_kept_is_the_next_one(aligned):
    for entry in examples.aligned().rounds:
        levels = ledger_levels(entry.ledger, TS_ALIGN)
        for level in levels:
            assert sum(part.n for part in level.parts) == level.total
            for part in level.parts:
                assert f"{part.n:,} {part.name}" in aligned.text
        for level, after in itertools.pairwise(levels[1:]):
            assert level.parts[0].n == after.total
        assert levels[-1].parts[0].n == entry.ledger.trained
    assert "do not add up" not in aligned.text


def test_an_empty_ledger_is_drawn_without_dividing_by_nothing():
    summary = examples.aligned()
    summary.rounds[0].ledger = Ledger()
    assert "0 usable" in page(summary).text


def test_a_ledger_that_does_not_add_up_is_shown_with_a_warning():
    summary = examples.aligned()
    summary.rounds[1].ledger.trained += 1
    assert "These numbers do not add up: ledger: labelled + reused = trained" in page(summary).text


def test_best_wins_and_worst_losses_come_first_with_both_answers(aligned):
    part = section(aligned, "Answers side by side").split("counting –")[0]
    assert re.findall(r"(win|loss) ([+−][\d.]+)", part) == [
        ("win", "+1.00"), ("win", "+0.90"), ("win", "+0.80"), ("loss", "−0.60"),
    ]  # fmt: skip
    assert "3 won, 1 tied, 1 lost" in part
    assert "(empty answer)" in part and "base policy, score 0.20 It is 17 + 5 = 21." in part


def test_the_order_of_the_rows_changes_nothing():
    rows = examples.samples()
    assert html(examples.aligned(), rows[::-1]) == html(examples.aligned(), rows)


def test_an_answer_without_a_score_is_shown_without_a_number():
    rows = [examples.samples()[1] | {"base_score": None}]
    assert "base policy, score –" in page(examples.aligned(), rows).text


def test_a_long_answer_is_shown_in_full():
    rows = [examples.samples()[1] | {"policy_completion": "x" * 20_000}]
    assert "x" * 20_000 in page(examples.aligned(), rows).text


def test_a_round_that_was_not_adopted_is_named_and_warned_of():
    shown = page(examples.aligned(last_adopted=False), examples.samples())
    assert "66.8 % win rate" in shown.text and "(round 2)" in shown.text
    assert "Round 3 (not adopted): answers are 47% longer" in shown.text
    assert "the oracle does not confirm 27% of the labels" in shown.text
    labels = section(shown, "Are the labels right?")  # the refused student does not count
    assert "agreed on 74.2 % before the run and on 80.3 % after it" in labels


def test_warnings_stand_in_their_sections_and_are_counted_at_the_top():
    summary = examples.aligned(last_adopted=False)
    found = warnings(summary.base, summary.rounds)
    shown = page(summary).text
    assert f"{len(found)} things to check." in shown
    worries = shown.split("What should worry me?")[1].split(" Round by round ")[0]
    assert all(one.found in worries and one.reason not in worries for one in found)
    sections = {
        "labels": shown.split(" Are the labels right? ")[-1],
        "drift": shown.split(" Drift ")[-1],
    }
    assert {one.section for one in found} == set(sections)
    assert all(one.text in sections[one.section] for one in found)


def test_warnings_of_a_logged_run_are_shown_too():
    summary = examples.logged()
    summary.rounds[0].student.adopted = False
    shown = page(summary).text
    assert "2 things to check." in shown and "lowered the student's agreement" in shown


def test_no_warning_is_no_claim_about_what_is_not_known(aligned):
    assert "No warnings." in aligned.text
    summary = examples.aligned()
    summary.base = {}
    assert "No warnings, but the length of the base policy's answers" in page(summary).text


@pytest.mark.parametrize(
    ("ci95", "said", "kind"),
    [
        ((0.48, 0.55), "It cannot be told apart from the base", "unclear"),
        ((0.40, 0.48), "It is worse than the base", "bad"),
    ],
)
def test_the_verdict_follows_the_interval(ci95, said, kind):
    summary = examples.aligned()
    summary.final.ci95 = ci95
    shown = page(summary)
    assert said in shown.text
    assert any(name == "class" and f"hero {kind}" in value for name, value in shown.attributes)


def test_a_teacher_that_judges_its_own_pupil_is_pointed_out():
    said = "The only judge is the teacher"
    assert said in page(examples.aligned(judge="teacher")).text
    assert said not in page(examples.aligned()).text
    assert (
        "71.2 % says how often the teacher, not a person"
        in page(examples.aligned(judge="teacher")).text
    )


def test_a_run_over_logged_completions_compares_the_student_with_the_longer_answer():
    shown = page(examples.logged())
    assert "61.1 % agreement of the distilled student with the judge" in shown.text
    assert "in 49.8 % of cases before distillation and in 61.1 % after" in shown.text
    assert "gets 57.8 %: the student is better than this rule" in shown.text
    assert "Student after 61.1 % 58.9 to 63.4 %" in shown.text
    assert "1,842 of 9,821 pairs" in shown.text
    assert "Drift" not in shown.text and "win rate" not in shown.text


@pytest.mark.parametrize(
    ("after", "said"), [((0.55, 0.60), "not told apart from it"), ((0.50, 0.56), "worse than this")]
)
def test_a_student_that_does_not_beat_the_rule_is_not_praised(after, said):
    summary = examples.logged()
    summary.rounds[0].student.ci95_after = after
    assert said in page(summary).text


def test_a_run_that_is_not_finished_shows_the_last_adopted_round_so_far(stored):
    summary, store, rows = stored
    summary.final = summary.finished = None
    summary.seconds = summary.computed_seconds = 0.0
    summary.rounds[1].stages, summary.rounds[2].adopted = summary.rounds[2].stages, False
    shown = page(summary, headline_answers(whole(summary), store))
    assert "has not finished" in shown.text and "counting half, so far" in shown.text
    assert "66.8 % win rate" in shown.text and "(round 2)" in shown.text
    assert "By data set" in shown.text and rows[1]["policy_completion"] in shown.text
    seconds = sum(record.seconds for record in summary.stages())
    assert f"Time {duration(seconds)} this time so far" in shown.text


def test_a_run_without_a_finished_round_says_what_to_do():
    summary = examples.aligned()
    summary.final, summary.rounds = None, []
    assert "No round is finished" in page(summary).text


def test_the_cost_is_set_against_labelling_everything_and_computing_anew(aligned):
    mined = sum(entry.ledger.mined for entry in examples.aligned().rounds)
    assert f"Teacher calls {2 * mined:,} teacher calls to label pairs" in aligned.text
    assert "labelling every answer would take 24,000" in aligned.text
    records = examples.aligned().stages()
    reused = [record.computed_seconds for record in records if record.cached]
    saved = duration(sum(reused))
    assert f"6 min 43 s this time; {saved} saved by reusing {len(reused)} of" in aligned.text


def test_the_cost_of_every_round_has_calls_made_and_saved_tokens_and_shards():
    summary = examples.aligned()
    summary.rounds[1].stages[0].shards, summary.rounds[1].stages[0].shards_reused = 9, 4
    table = page(summary).text.split(" Cost ")[-1]
    made, generated = summary.rounds[1].teacher_calls, summary.rounds[1].ledger.generated
    row = re.search(r"round 2 15 0 (.*?) round 3", table).group(1)
    assert row.startswith("4 of 9 ")
    assert row.endswith(f"96,210 {made:,} {generated - made:,}")


def test_every_artifact_is_named_by_its_digest(aligned):
    shown = aligned.text.split("Artifacts")[1]
    assert all(r.artifact in shown and r.key in shown for r in examples.aligned().stages())


def test_a_run_in_which_no_policy_was_adopted_says_so():
    summary = examples.aligned()
    summary.final = None
    for entry in summary.rounds:
        entry.adopted = False
    assert "The base policy stays." in page(summary).text


def test_values_that_are_not_known_are_left_out():
    summary = examples.aligned(judge="teacher")
    for entry in summary.rounds:
        entry.label_precision, entry.label_precision_by_dataset = None, {}
        entry.student.ci95_before = entry.student.ci95_after = entry.gate = None
    assert "labels the oracle confirms" not in page(summary).text


@pytest.fixture
def stored(tmp_path):
    """A store with an evaluation and its prompts, and the summary of the run that made them."""
    store, summary, rows = Store(tmp_path / "store"), examples.aligned(), examples.samples()
    examples.store_answers(store, summary, rows)
    return summary, store, rows


def test_samples_are_the_final_evaluation_with_its_prompts(stored):
    summary, store, rows = stored
    assert headline_answers(whole(summary), store) == rows
    assert headline_answers(whole(examples.logged()), store) == []


def test_a_report_is_written_from_summary_and_store(stored, tmp_path):
    summary, store, _ = stored
    out = tmp_path / "runs" / "report.html"
    write_report(whole(summary), store, out)
    assert list(out.parent.iterdir()) == [out]
    text = Page(out.read_text(encoding="utf-8")).text
    assert "It is 17 + 5 = 22." in text and "generate: k: 8" in text


def test_an_evaluation_without_its_prompts_shows_their_ids(stored):
    summary, store, _ = stored
    summary.bootstrap = summary.bootstrap[:1]
    shown = page(summary, headline_answers(whole(summary), store))
    assert "text not found arithmetic-1" in shown.text
    assert "It is 17 + 5 = 22." in shown.text


def test_prompts_are_found_among_the_stages_of_a_round_too(stored):
    summary, store, rows = stored
    summary.rounds[0].stages = [summary.bootstrap.pop()]
    assert headline_answers(whole(summary), store) == rows


def test_an_evaluation_that_is_not_in_the_store_is_refused(stored, tmp_path):
    with pytest.raises(ArtifactError, match="run its stage again"):
        headline_answers(whole(stored[0]), Store(tmp_path / "other"))


def test_report_and_status_load_nothing_heavy():
    code = (
        "import sys, reports.report, reports.status\n"
        "from tests.reports import report_examples as e\n"
        "from reports.page import report_html\n"
        "from flows.earlier import whole\n"
        "report_html(whole(e.aligned()), {}, '')\n"
        "heavy = {'torch', 'transformers', 'prefect', 'pandas', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
