"""What a bench says to the claims of AuroBind's fitness half: pooled by target; each can fail."""

import pytest

from bench.variants import write_bench
from benchmarks.listwise import by_target, claims, main, summaries
from data.errors import InputError
from data.measures import Measure, Value
from data.summary import write_summary
from tests.bench.test_worlds import figures
from tests.reports import report_examples as examples

TARGETS = [f"t{k}" for k in range(12)]


def measure(values):
    parts = {name: Value(value=value) for name, value in zip(TARGETS, values, strict=True)}
    return Measure(value=sum(values) / len(values), parts=parts)


@pytest.fixture
def bench(tmp_path):
    """A bench of one arm and two seeds, with what listwise adds at each target."""

    def made(near=0.02, ranks=0.0, kept=0.95, recall=0.85, times=25.0, spread=0.005):
        found = figures(tmp_path, {"tau-0.1": [[0.5, 0.5]]}, {})
        wobble = [spread * (k % 3 - 1) for k in range(12)]
        for recipe in found.recipes:
            for run in recipe.runs:
                summary = examples.aligned().model_copy(update={"run": run.run})
                summary.measures = {
                    "near_accuracy_longer": measure([0.6] * 12),
                    "near_accuracy_listwise": measure([0.6 + near + x for x in wobble]),
                    "near_accuracy_ranker": measure([0.55] * 12),
                    "spearman_longer": measure([0.5] * 12),
                    "spearman_listwise": measure([0.5 + ranks + x for x in wobble]),
                    "spearman_ranker": measure([0.45] * 12),
                    "rmse_longer": measure([0.7] * 12),
                    "rmse_listwise": measure([0.9] * 12),
                    "ef5_listwise": measure([4.0] * 12),
                    "ef5_student": measure([4.0 * kept] * 12),
                    "recall": measure([recall] * 12),
                    "times_faster": Measure(value=times),
                }
                folder = tmp_path / "runs" / run.run
                folder.mkdir(parents=True, exist_ok=True)
                write_summary(folder / "summary.json", summary)
        path = tmp_path / "runs" / "listwise" / "bench.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bench(path, found)
        return path, summaries(path, found)

    return made


def words(found):
    return [line.partition(":")[0] for line in claims(found)]


def test_all_claims_hold(bench):
    _, found = bench()
    assert words(found) == ["holds", "for comparison", "holds", "holds", "holds"]
    near, other, kept, *_ = claims(found)
    assert "+2.00 [" in near and "12 targets x 2 seeds" in near and "+7.00" in other
    assert "keeps 95.0 %" in kept


def test_a_target_that_only_some_seeds_hold_out_counts_by_those(bench):
    _, found = bench()
    first, second = found["tau-0.1"]
    longer = second.measures["near_accuracy_longer"]
    parts = dict(longer.parts)
    parts["t99"], _ = Value(value=0.9), parts.pop("t0")
    second.measures["near_accuracy_longer"] = longer.model_copy(update={"parts": parts})
    means = by_target([first, second], "near_accuracy_longer")
    assert means == dict.fromkeys(TARGETS, 0.6) | {"t99": 0.9}


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"near": 0.009}, 0),
        ({"near": 0.011, "spread": 0.2}, 0),  # the interval spans 0
        ({"near": -0.02}, 0),
        ({"kept": 0.89}, 2),
        ({"recall": 0.79}, 3),
        ({"times": 19.0}, 4),
    ],
)
def test_each_claim_can_fail(bench, changes, place):
    said = words(bench(**changes)[1])
    assert said[place] == "fails" and said.count("fails") == 1


def test_spearman_alone_will_do(bench):
    assert words(bench(near=0.0, ranks=0.012)[1])[0] == "holds"
    assert words(bench(near=0.0, ranks=0.009)[1])[0] == "fails"


def test_it_prints_tables_and_refuses_another_flow(bench, capsys):
    path, found = bench()
    main(str(path))
    said = capsys.readouterr().out
    assert (
        "| tau-0.1 | 62.00 | 60.00 | +2.00 [" in said
        and "| ranker | 0.550" in said
        and "holds: tau-0.1" in said
    )
    (summary, _) = found["tau-0.1"]
    del summary.measures["near_accuracy_longer"]
    with pytest.raises(InputError, match="has no near_accuracy_longer; name a bench"):
        list(claims(found))
