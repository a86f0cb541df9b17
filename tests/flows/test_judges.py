"""A run whose answers several judges compare: the teacher, and functions that took no part."""

import json

import pytest

from cli.main import main
from data.length_controlled import length_controlled
from data.statistics import win_rate
from data.store.artifacts import Artifact
from data.store.store import Store
from data.summary import read_summary, write_summary

SHORT = '''
def shorter(prompts, completions, **columns):
    """The shorter answer is better; of an answer that is empty it cannot tell."""
    texts = [completion[0]["content"] for completion in completions]
    return [-float(len(text)) if text else None for text in texts]
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("judges")


@pytest.fixture(scope="module")
def judges(folder):
    (folder / "mine.py").write_text(SHORT)
    return ["teacher", f"{folder}/mine.py:shorter", "length-band"]


def aligned(folder, write_recipe, values, name):
    where = ["--store", str(folder / "store"), "--runs-dir", str(folder / "runs")]
    recipe = write_recipe(values | {"run": name})
    assert main(["align", str(recipe), "--quiet", *where]) == 0
    return read_summary(folder / "runs" / name / "summary.json")


@pytest.fixture(scope="module")
def values(tiny_recipe, judges):
    trusted = {"runtime": {"trust_remote_code": True}}
    return tiny_recipe | trusted | {"evaluate": {"judge": judges, "bootstrap_samples": 200}}


@pytest.fixture(scope="module")
def summary(without_prefect, folder, write_recipe, values):
    return aligned(folder, write_recipe, values, "judged")


@pytest.fixture
def store(folder):
    return Store(str(folder / "store"))


def evaluations(summary, store, number):
    """EVALUATION of a round by each judge."""
    records = [x for x in summary.rounds[number].stages if x.kind == "evaluation"]
    return [store.table(Artifact(kind=x.kind, key=x.key, digest=x.artifact)) for x in records]


def test_every_judge_compares_the_same_answers(summary, store, judges):
    for number, entry in enumerate(summary.rounds):
        tables = evaluations(summary, store, number)
        assert len(tables) == 3
        for name in ("prompt_id", "base_completion", "policy_completion"):
            assert len({json.dumps(table[name].to_pylist()) for table in tables}) == 1
        of_length = tables[1]
        for row in of_length.to_pylist():
            sides = row["policy_completion"], row["base_completion"]
            if all(sides):
                policy, base = map(len, sides)
                assert row["outcome"] == (0.5 if policy == base else float(policy < base))
        policy = entry.policy
        assert [policy.judge, *(other.judge for other in policy.others)] == judges
        for said, table in zip([policy, *policy.others], tables, strict=True):
            outcomes, datasets = table["outcome"].to_pylist(), table["dataset"].to_pylist()
            plain = win_rate(outcomes, datasets, 200, summary.seed)
            assert (said.win_rate, said.ci95) == (plain["win_rate"], plain["ci95"])
            assert (said.wins, said.ties, said.losses) == tuple(
                plain[name] for name in ("wins", "ties", "losses")
            )
            assert {n: x.win_rate for n, x in said.by_dataset.items()} == {
                n: x["win_rate"] for n, x in plain["by_dataset"].items()
            }
            longer = [
                len(row["policy_completion"]) - len(row["base_completion"])
                for row in table.to_pylist()
            ]
            alike = length_controlled(outcomes, longer, datasets, 200, summary.seed)
            assert said.at_equal_length.model_dump() == alike
        first, second = (table["outcome"].to_pylist() for table in tables[:2])
        same = sum(a == b for a, b in zip(first, second, strict=True)) / len(first)
        assert policy.others[0].same_order == {"teacher": same}
        assert set(policy.others[1].same_order) == set(judges[:2])


def test_the_first_judge_is_the_headline_and_the_others_are_measures(summary):
    final, measures = summary.final, summary.measures
    assert summary.headline == "win_rate" and measures["win_rate"].judge == "teacher"
    expected = {
        "win_rate": final,
        "win_rate_by_mine_py_shorter": final.others[0],
        "win_rate_by_length_band": final.others[1],
    }
    for name, said in expected.items():
        measure, alike = measures[name], measures[name.replace("win_rate", "length_controlled")]
        assert (measure.value, measure.ci95) == (said.win_rate, said.ci95)
        assert alike.value == said.at_equal_length.win_rate
        assert measure.better == alike.better == "higher" and measure.even == alike.even == 0.5
        assert len(measure.rounds) == len(alike.rounds) == 2
        assert measure.judge == said.judge
        assert len({one.evidence.artifact for one in measure.rounds}) == 2
    assert measures["win_rate_by_length_band"].title.endswith("by the reward function length-band")


def test_report_status_and_comparison_tell_of_every_judge(summary, folder, capsys):
    page = (folder / "runs" / "judged" / "report.html").read_text()
    assert "By judge" in page and "the teacher that trained it" in page
    assert "The only judge is the teacher" not in page
    assert "By the reward function length-band it is" in page
    where = ["--runs-dir", str(folder / "runs")]
    assert main(["status", "judged", *where]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "judged by the teacher that trained it, round 2" in text
    assert "At equal length it would be" in text
    assert "By the reward function mine.py:shorter it is" in text
    assert "both label and judge" not in text
    assert main(["status", "judged", *where, "--json"]) == 0
    assert "length_controlled_by_length_band" in json.loads(capsys.readouterr().out)["measures"]


def test_what_was_judged_is_found_again(summary, folder, write_recipe, values):
    """The base's answers are judged once for both rounds, and a judge that comes later scores the
    answers that are there."""
    added = values | {"evaluate": values["evaluate"] | {"judge": ["length-band", "teacher"]}}
    again = aligned(folder, write_recipe, added, "again")
    computed = {record.address for record in again.stages() if not record.cached}
    assert computed <= {"evaluate", "evaluate:by teacher"}
    assert again.final.win_rate == summary.final.others[1].win_rate
    assert again.final.others[0].win_rate == summary.final.win_rate
    assert "judged by the reward function length-band" in again.verdict.line


def test_a_summary_with_other_figures_than_the_evaluations_is_found_out(folder, capsys):
    path = folder / "runs" / "judged" / "summary.json"
    where = ["--store", str(folder / "store"), "--runs-dir", str(folder / "runs")]
    assert main(["verify", *where]) == 0
    text, summary = path.read_text(), read_summary(path)
    summary.rounds[0].policy.others[0].win_rate = 0.999
    write_summary(path, summary)
    try:
        capsys.readouterr()
        assert main(["verify", *where]) != 0
        assert "round 1: policy is not" in capsys.readouterr().out
    finally:
        path.write_text(text)
