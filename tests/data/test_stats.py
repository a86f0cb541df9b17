import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data import statistics as stats
from data.statistics import Z_95, bootstrap_means, dataset_mean, wilson, win_rate

OUTCOMES = st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from("abc")), min_size=1)


def of(rows, **options):
    return win_rate([row[0] for row in rows], [row[1] for row in rows], samples=200, **options)


def test_ties_count_half_and_every_data_set_counts_the_same():
    result = win_rate([1.0, 0.5, 0.0, 1.0, 1.0], ["a", "a", "a", "a", "b"])
    assert result["by_dataset"]["a"]["win_rate"] == 2.5 / 4
    assert result["by_dataset"]["b"]["win_rate"] == 1.0
    assert result["win_rate"] == (2.5 / 4 + 1.0) / 2
    assert (result["wins"], result["ties"], result["losses"]) == (3, 1, 1)
    assert [entry["n"] for entry in result["by_dataset"].values()] == [4, 1]


@given(OUTCOMES)
def test_rates_and_intervals_lie_between_0_and_1_around_the_point(rows):
    result = of(rows)
    for entry in (result, *result["by_dataset"].values()):
        low, high = entry["ci95"]
        assert 0 <= low <= entry["win_rate"] + 1e-12
        assert entry["win_rate"] - 1e-12 <= high <= 1 + 1e-12


@given(OUTCOMES)
def test_swapping_the_two_policies_mirrors_the_result(rows):
    result, mirrored = of(rows), of([(1 - value, name) for value, name in rows])
    assert mirrored["win_rate"] == pytest.approx(1 - result["win_rate"])
    assert (mirrored["wins"], mirrored["losses"]) == (result["losses"], result["wins"])


@given(OUTCOMES, st.randoms())
@settings(max_examples=25)
def test_the_order_of_the_prompts_does_not_matter(rows, random):
    shuffled = random.sample(rows, len(rows))
    assert of(shuffled, seed=3) == of(rows, seed=3)


def test_the_interval_of_one_data_set_is_that_of_the_normal_approximation():
    outcomes = [1.0] * 500 + [0.5] * 200 + [0.0] * 300
    low, high = win_rate(outcomes, ["a"] * 1000, samples=20_000)["ci95"]
    half = Z_95 * np.std(outcomes) / math.sqrt(1000)
    assert (high - low) / 2 == pytest.approx(half, rel=0.04)


def test_the_interval_of_the_mean_is_narrower_than_that_of_its_data_sets():
    result = win_rate([1.0, 0.0] * 100, (["a"] * 2 + ["b"] * 2) * 50)
    width = {name: e["ci95"][1] - e["ci95"][0] for name, e in result["by_dataset"].items()}
    together = result["ci95"][1] - result["ci95"][0]
    assert together == pytest.approx(math.hypot(width["a"], width["b"]) / 2, rel=0.1)


def test_about_95_of_100_intervals_hold_the_truth():
    rng, names = np.random.default_rng(0), ["a", "b", "c"] * 60
    chances = {"a": (0.3, 0.2, 0.5), "b": (0.1, 0.1, 0.8), "c": (0.5, 0.0, 0.5)}
    truth = np.mean([p[1] / 2 + p[2] for p in chances.values()])
    held = 0
    for run in range(300):
        outcomes = [float(rng.choice([0.0, 0.5, 1.0], p=chances[name])) for name in names]
        low, high = win_rate(outcomes, names, samples=300, seed=run)["ci95"]
        held += low <= truth <= high
    assert 0.91 <= held / 300 <= 0.98


def test_equal_seeds_give_equal_intervals_and_others_do_not():
    rows = [(1.0, "a"), (0.0, "a"), (0.5, "b"), (1.0, "b")] * 20
    assert of(rows, seed=1) == of(rows, seed=1)
    assert of(rows, seed=1)["ci95"] != of(rows, seed=2)["ci95"]


@pytest.mark.parametrize(
    ("outcomes", "datasets"), [([], []), ([1.0], ["a", "b"]), ([0.7], ["a"]), ([math.nan], ["a"])]
)
def test_what_is_no_set_of_outcomes_is_refused(outcomes, datasets):
    with pytest.raises(ValueError, match="outcomes"):
        win_rate(outcomes, datasets)


def test_resampled_means_have_the_mean_and_the_spread_of_the_sample():
    values = np.array([0.0, 0.0, 0.5, 1.0])
    means = bootstrap_means(values, 50_000, np.random.default_rng(0))
    assert means.mean() == pytest.approx(values.mean(), abs=0.005)
    assert means.std() == pytest.approx(values.std() / 2, rel=0.02)


def test_a_mean_of_differences_counts_every_data_set_the_same():
    found = dataset_mean([0.2, 0.4, -1.0], ["a", "a", "b"], samples=50)
    assert found["mean"] == pytest.approx((0.3 - 1.0) / 2) and found["n"] == 3
    assert found["by_dataset"]["a"]["mean"] == pytest.approx(0.3)
    assert found["by_dataset"]["b"] == {"mean": -1.0, "ci95": (-1.0, -1.0), "n": 1}
    low, high = found["ci95"]
    assert -0.4 - 1e-9 <= low < -0.35 < high <= -0.3 + 1e-9


def test_the_interval_of_paired_differences_has_its_nominal_width():
    values = np.random.default_rng(1).normal(0.1, 0.5, 400)
    low, high = dataset_mean(values.tolist(), ["a"] * 400)["ci95"]
    half = Z_95 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.006)


def test_drawing_a_few_resamples_at_a_time_draws_the_same(monkeypatch):
    values = np.linspace(0, 1, 30)
    whole = bootstrap_means(values, 100, np.random.default_rng(0))
    monkeypatch.setattr(stats, "MOST_DRAWN", 7 * 30)
    assert bootstrap_means(values, 100, np.random.default_rng(0)) == pytest.approx(whole)


@pytest.mark.parametrize(("values", "datasets"), [([], []), ([1.0], ["a", "b"])])
def test_a_mean_needs_a_data_set_for_every_value(values, datasets):
    with pytest.raises(ValueError, match="one data set per value"):
        dataset_mean(values, datasets)


def test_wilson_has_its_closed_forms():
    z2 = Z_95**2
    assert wilson(0, 10) == pytest.approx((0.0, z2 / (10 + z2)))
    assert wilson(10, 10) == pytest.approx((10 / (10 + z2), 1.0))
    low, high = wilson(50, 100)
    assert low + high == pytest.approx(1) and high == pytest.approx(0.5962, abs=1e-4)


@given(st.integers(1, 1000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_share(counts):
    successes, n = counts
    low, high = wilson(successes, n)
    assert 0 <= low <= successes / n + 1e-12 and successes / n - 1e-12 <= high <= 1


@pytest.mark.parametrize(("successes", "n"), [(1, 0), (-1, 2), (3, 2)])
def test_wilson_refuses_what_is_no_share(successes, n):
    with pytest.raises(ValueError, match="successes"):
        wilson(successes, n)
