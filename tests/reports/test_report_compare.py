import re
import subprocess
import sys

import pytest

from cli.main import main
from data.store.store import Store
from data.summary import write_summary
from flows.earlier import whole
from reports import compare
from reports.compare import differences
from tests.reports import report_examples as examples
from tests.reports.test_report import EVIL, Page, ours
from tests.repository import ROOT


def runs():
    a, b = examples.aligned(), examples.aligned()
    a.run, b.run = "plain", "careful"
    return a, b


def answers(gain=0.0):
    """Rows of a run whose policy's answers score so much more than those of `examples`."""
    return [row | {"policy_score": row["policy_score"] + gain} for row in examples.samples()]


def compare_policies(a, b, *rows):
    return compare.compare_policies(whole(a), whole(b), *rows)


def comparison_html(a, b, *rows):
    return compare.comparison_html(whole(a), whole(b), *rows)


def page(a, b, a_rows=(), b_rows=()):
    return Page(comparison_html(a, b, a_rows, b_rows))


def test_only_the_fields_that_differ_are_named_whatever_their_depth():
    a = {"run": "x", "seed": 0, "policy": {"beta": 0.1, "losses": {"ipo": 1.0}}, "gone": 1}
    b = {"run": "y", "seed": 0, "policy": {"beta": 0.2, "losses": {"ipo": 1.0}}, "new": [1, 2]}
    assert differences(a, b) == [
        ("policy.beta", "0.1", "0.2"),
        ("gone", "1", "–"),
        ("new", "–", "[1, 2]"),
    ]
    assert differences(a, a | {"run": "z"}) == []
    assert "Nothing but the name." in page(*runs()).text


def test_policies_are_paired_by_prompt_not_by_place():
    a, b = runs()
    paired = compare_policies(a, b, answers(), answers(0.25)[::-1])
    assert paired.notes == []
    assert paired.head_to_head["win_rate"] == 1.0 and paired.head_to_head["wins"] == 35
    assert paired.scores["mean"] == pytest.approx(0.25)
    assert paired.scores["ci95"] == pytest.approx((0.25, 0.25))  # prompts vary, the gain does not
    assert {row["prompt_id"] for row in paired.rows} == {row["prompt_id"] for row in answers()}


def test_swapping_the_runs_mirrors_the_result():
    a, b = runs()
    gains = [row | {"policy_score": (7 * row["policy_score"]) % 1.1} for row in answers()]
    there, back = compare_policies(a, b, answers(), gains), compare_policies(b, a, gains, answers())
    rates = there.head_to_head["win_rate"], back.head_to_head["win_rate"]
    assert rates[0] not in (0, 0.5, 1) and sum(rates) == pytest.approx(1)
    assert there.scores["mean"] == pytest.approx(-back.scores["mean"])


@pytest.mark.parametrize(
    ("gain", "said"),
    [(0.2, "B is better than A"), (-0.2, "B is worse than A"), (0.0, "cannot be told apart")],
)
def test_the_verdict_follows_the_paired_interval(gain, said):
    shown = page(*runs(), answers(), answers(gain))
    assert said in shown.text and "On 35 prompts that both answered, B (round 3)" in shown.text


def test_an_answer_the_judge_could_not_read_is_a_tie_without_a_difference():
    rows = answers(0.2)
    rows[0]["policy_score"] = None
    paired = compare_policies(*runs(), answers(), rows)
    assert paired.head_to_head["ties"] == 1 and paired.scores["n"] == 34


def test_prompts_that_only_one_run_evaluated_are_left_out_and_counted():
    paired = compare_policies(*runs(), answers(), answers(0.2)[:30])
    assert paired.notes == [
        "Of 35 and 30 prompts evaluated, 30 are the same; only these are paired."
    ]
    assert paired.head_to_head["wins"] == 30


def test_prompts_of_one_id_but_other_text_are_not_the_same_prompt():
    other = [row | {"messages": [{"role": "user", "content": "other"}]} for row in answers()]
    paired = compare_policies(*runs(), answers(), other)
    assert paired.head_to_head is None
    assert paired.notes == ["The runs were evaluated on different prompts."]


def test_different_judges_are_not_set_against_each_other():
    a, b = runs()
    b.final.judge = "teacher"
    paired = compare_policies(a, b, answers(), answers(0.2))
    assert paired.head_to_head is None and paired.scores is None
    shown = page(a, b, answers(), answers(0.2)).text
    assert "The judges differ" in shown and "71.2 %" in shown and "B over A" not in shown


def test_two_teachers_are_two_judges():
    a, b = runs()
    a.final.judge = b.final.judge = "teacher"
    assert compare_policies(a, b, answers(), answers(0.2)).head_to_head
    teacher = next(record for record in b.bootstrap if record.kind == "teacher")
    teacher.artifact = examples.digest(99)
    assert compare_policies(a, b, answers(), answers(0.2)).head_to_head is None
    for run, model in ((a, "one"), (b, "two")):
        run.bootstrap, run.config["teacher"] = [], {"model": model}
    assert compare_policies(a, b, answers(), answers(0.2)).head_to_head is None


def test_other_base_policies_and_temperatures_are_pointed_out():
    a, b = runs()
    b.config["evaluate"] = {"temperature": 1.0}
    rows = [row | {"base_completion": "something else"} for row in answers()]
    notes = compare_policies(a, b, answers(), rows).notes
    assert any("different temperatures" in note for note in notes)
    assert any("base policies answer differently" in note for note in notes)


def test_what_is_there_is_shown_of_runs_that_have_little():
    a, b = runs()
    assert "no longer in this store" in page(a, b).text
    b.final = None
    for entry in b.rounds:
        entry.adopted = False
    shown = page(a, b, answers(), [])
    assert "without an adopted policy" in shown.text and "Round by round" in shown.text
    shown = page(a, examples.logged(), answers(), [])
    assert "A: 71.2 % win rate over the base" in shown.text
    assert "B: 61.1 % agreement of the distilled student" in shown.text


def test_rounds_counts_and_cost_stand_side_by_side():
    a, b = runs()
    b.rounds = b.rounds[:2]
    shown = page(a, b).text
    assert re.search(r" 3 71.2 % 68.8 to 73.5 % – 81.1 %", shown)
    asked, calls = (sum(e.ledger.asked for e in run.rounds) for run in (a, b)), "teacher calls to"
    assert "prompts asked {:,} {:,} ".format(*asked) in shown
    made = [sum(entry.teacher_calls for entry in run.rounds) for run in (a, b)]
    assert f"{calls} label {made[0]:,} {made[1]:,} " in shown
    assert "answer tokens 288,630 192,420 " in shown


def test_machines_are_named_where_they_differ():
    a, b = runs()
    a.machine |= {"cpu": "EPYC", "threads": "2", "kernel_limits": "none", "cores": "2"}
    b.machine |= {"cpu": "Xeon", "threads": "1", "kernel_limits": "none"}
    b.versions["torch"] = "9.9"
    shown = page(a, b).text.split("What differs in machine and versions")[1]
    shown = shown.split("rounds otherwise")[0]
    assert "cpu EPYC Xeon" in shown and "threads 2 1" in shown and "9.9" in shown
    assert "kernel_limits" not in shown and "cores" not in shown  # equal; not recorded of one
    b.machine, b.versions = dict(a.machine), dict(a.versions)
    assert "What differs in machine" not in page(a, b).text


def test_warnings_name_their_run():
    a, b = runs()
    b.rounds[2].label_precision = 0.5
    text = page(a, b).text
    assert "B: Round 3: the oracle does not confirm 50%" in text and "A: Round" not in text


def test_hostile_text_stays_text_and_nothing_is_loaded_from_elsewhere():
    a, b = runs()
    b.run = b.machine[EVIL] = b.versions[EVIL] = b.config[EVIL] = EVIL
    b.final.by_dataset[EVIL] = b.final.by_dataset["sorting"]
    texts = {"dataset": EVIL, "policy_completion": EVIL}
    rows = [row | texts for row in answers(0.3)]
    html = comparison_html(a, b, answers(), rows)
    shown = Page(html)
    assert not {"img", "link", "iframe"} & set(shown.tags) and ours(shown)
    assert not [name for name, _ in shown.attributes if name == "src" or name.startswith("on")]
    assert not re.search(r"url\(|@import|https?:", html)
    assert shown.text.count(EVIL) > 8


def test_links_lead_somewhere():
    for shown in (page(*runs(), answers(), answers(0.1)), page(examples.logged(), runs()[1])):
        links = {value for name, value in shown.attributes if name == "href"}
        assert links == {f"#{value}" for name, value in shown.attributes if name == "id"}


def test_an_evaluation_that_is_gone_costs_the_pairing_not_the_page(tmp_path):
    a, b = runs()
    for run in (a, b):
        record = run.rounds[2].stages[13]
        assert record.kind == "evaluation"
    compare.write_comparison(whole(a), whole(b), Store(tmp_path / "store"), tmp_path / "out.html")
    assert "no longer in this store" in (tmp_path / "out.html").read_text(encoding="utf-8")


def test_the_command_writes_one_file_beside_the_runs_or_where_it_is_told(tmp_path, capsys):
    for run in runs():
        run.rounds[2].stages = []
        write_summary(tmp_path / "runs" / run.run / "summary.json", run)
    places = ["--runs-dir", str(tmp_path / "runs"), "--store", str(tmp_path / "store")]
    command = ["report", "--compare", "plain", "careful", *places]
    assert main(command) == 0
    written = tmp_path / "runs" / "plain-vs-careful.html"
    assert str(written) in capsys.readouterr().out
    out = tmp_path / "elsewhere" / "x.html"
    assert main([*command, "--out", str(out)]) == 0
    assert out.read_bytes() == written.read_bytes()
    assert main(["report", "plain", *places, "--out", str(tmp_path / "one.html")]) == 0
    assert "71.2" in (tmp_path / "one.html").read_text(encoding="utf-8")


def test_a_place_that_cannot_be_written_is_one_line(tmp_path, capsys):
    write_summary(tmp_path / "logged" / "summary.json", examples.logged())
    (tmp_path / "file").write_text("in the way")
    places = ["--runs-dir", str(tmp_path), "--store", str(tmp_path / "store")]
    assert main(["report", "logged", *places, "--out", str(tmp_path / "file" / "x.html")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_comparing_loads_nothing_heavy():
    code = (
        "import sys\n"
        "from tests.reports import report_examples as e\n"
        "from reports.compare import comparison_html\n"
        "from flows.earlier import whole\n"
        "comparison_html(whole(e.aligned()), whole(e.aligned()), e.samples(), e.samples())\n"
        "heavy = {'torch', 'transformers', 'prefect', 'pandas', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
