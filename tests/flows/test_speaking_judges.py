"""A run whose teacher is a language model, judged by another that writes its verdicts."""

import pyarrow.parquet as pq
import pytest

from cli.main import main
from data.store.artifacts import Artifact
from data.store.store import Store
from data.summary import read_summary


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("speaking")


@pytest.fixture(scope="module")
def where(folder):
    return ["--store", str(folder / "store"), "--runs-dir", str(folder / "runs")]


@pytest.fixture(scope="module")
def summary(
    without_prefect, folder, where, tiny_recipe, write_recipe, judge_dir, writing_judge_dir
):
    recipe = tiny_recipe | {
        "rounds": 1,
        "teacher": {"model": str(judge_dir), "asking": {"dev_pairs": 1}},
        "evaluate": {
            "judge": [str(writing_judge_dir), "teacher"],
            "asking": {"verdict": "written", "temperature": 1.0, "max_tokens": 16},
        },
    }
    assert main(["align", str(write_recipe(recipe)), "--quiet", *where]) == 0
    return read_summary(folder / "runs" / "tiny" / "summary.json")


def tables(summary, folder, kind):
    """Rows of the artifacts of a kind, by the role of the stage that made them."""
    store = Store(str(folder / "store"))
    return {
        one.role: store.table(Artifact(kind=one.kind, key=one.key, digest=one.artifact)).to_pylist()
        for one in summary.stages()
        if one.kind == kind
    }


def test_pairs_are_in_the_teachers_order(summary, folder):
    (entry,) = summary.rounds
    verdicts = tables(summary, folder, "verdicts")["label"]
    said = {(one["left_id"], one["right_id"]): one for one in verdicts}
    (pairs,) = tables(summary, folder, "preferences").values()
    for pair in pairs:
        ids = pair["chosen_id"], pair["rejected_id"]
        one = said[ids[::-1] if pair["swapped"] else ids]
        assert one["outcome"] == (0.0 if pair["swapped"] else 1.0) and not one["turned"]
        assert pair["margin"] == pytest.approx(abs(one["margin"]))
    ledger = entry.ledger
    assert len(pairs) == ledger.labelled > 0
    assert ledger.inconsistent == sum(one["turned"] for one in verdicts)
    assert ledger.labelled + ledger.inconsistent == ledger.mined == entry.teacher_calls


def test_evaluation_gate_and_agreement_are_those_of_the_verdicts(summary, folder):
    (entry,) = summary.rounds
    verdicts = tables(summary, folder, "verdicts")
    words = sorted(role.partition(" ")[0] for role in verdicts)
    assert words == ["dev", "gate", "label", "test", "test"]
    assert len(verdicts["gate"]) == len(verdicts["dev"]) == 6  # one pair of each dev prompt
    written, letters = (rows for role, rows in verdicts.items() if role.startswith("test"))
    assert {one["left_first_text"] for one in written} == {"Verdict: A", "Verdict: B"}
    assert {one["left_first_text"] for one in letters} == {None}
    for told, rows in ((entry.policy, written), (entry.policy.others[0], letters)):
        outcomes = [one["outcome"] for one in rows]
        assert len(outcomes) == 20 and told.wins == outcomes.count(1.0)
        assert (told.ties, told.losses) == (outcomes.count(0.5), outcomes.count(0.0))


def test_the_report_tells_what_was_said_and_what_it_cost(summary, folder, where, capsys):
    page = (folder / "runs" / "tiny" / "report.html").read_text()
    for words in (
        *("What the language model said", "pairs to learn from", "new policy against the last"),
        *("pairs of dev answers", "policy against base", "in all"),
    ):
        assert words in page
    assert {x.kind for x in summary.stages()} >= {"answer_pairs", "verdicts"}
    calls = sum(x.counts["judge_calls"] for x in summary.stages() if x.kind == "verdicts")
    pairs = sum(x.counts["pairs"] for x in summary.stages() if x.kind == "verdicts")
    assert calls == 2 * pairs and f"{calls:,}" in page
    assert main(["verify", "tiny", *where]) == 0
    capsys.readouterr()
    assert main(["status", "tiny", *where[2:]]) == 0
    assert "the teacher that trained it" not in " ".join(capsys.readouterr().out.split())


def test_compare_asks_such_a_teacher_too(summary, where, tmp_path, capsys):
    prompts = tmp_path / "mine.jsonl"
    prompts.write_text("".join(f'{{"prompt": "Name {n} colours."}}\n' for n in range(1, 5)))
    out = tmp_path / "both"
    more = ["--prompts", str(prompts), "--judge", "--out", str(out)]
    assert main(["compare", "tiny", *more, *where]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "judged by the teacher that labelled its training pairs" in printed
    rows = pq.read_table(f"{out}.parquet").to_pylist()
    outcomes = [row["outcome"] for row in rows]
    assert len(outcomes) == 4 and set(outcomes) <= {0.0, 0.5, 1.0}
    assert f"{outcomes.count(1.0)} won, {outcomes.count(0.5)} tied" in printed
    assert {row["a_score"] for row in rows} == {None}
