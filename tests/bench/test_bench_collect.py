"""From summaries to figures, verdicts and pages, on made-up runs."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from bench.collect import collect
from bench.jobs import Job, Places
from bench.pool import Pool, Schedule
from bench.report import bench_html, bench_markdown
from bench.tunnel import budgets
from bench.variants import Variant
from data.errors import InputError
from data.summary import write_summary
from flows.earlier import whole
from flows.recipe_files import load_recipe
from tests.reports import report_examples as examples
from tests.repository import ROOT

EVIL = "<script>alert(1)</script> | x"
ABOUT = {"name": "b", "command": "tsalign bench", "seconds": 1.0, "workers": {"workers": "2"}}


@pytest.fixture
def bench(tmp_path):
    """Figures of recipes with these final win rates, seed by seed; None: the policy was refused."""

    def make(rates, errors=None, equal="prompts", tokens=None):
        places = Places(str(tmp_path / "store"), tmp_path / "runs", equal)
        jobs = []
        for label, by_seed in rates.items():
            for seed, rate in enumerate(by_seed):
                run = f"b-{label}-s{seed}"
                recipe = load_recipe(ROOT / "recipes" / "tunnel.yaml", [f"seed={seed}"], run=run)
                jobs.append(Job(label, seed, recipe, baseline=label == next(iter(rates))))
                summary = examples.aligned()
                for entry in summary.rounds:
                    entry.adopted = rate is not None
                    entry.tokens = (tokens or {}).get(label, 100)
                if rate is not None:
                    summary.rounds[-1].policy.win_rate = rate
                write_summary(tmp_path / "runs" / run / "summary.json", whole(summary))
        known = {job.run: (errors or {}).get(job.run) for job in jobs}
        return collect([Variant(label, "f.yaml") for label in rates], jobs, known, places, **ABOUT)

    return make


def test_means_are_over_seeds_and_differences_are_within_them(bench):
    # each seed moves both recipes by far more than they differ
    base, other = bench({"base": [0.5, 0.6, 0.7], "other": [0.52, 0.63, 0.72]}).recipes
    assert base.win_rate.mean == pytest.approx(0.6) and base.win_rate.low == 0.5
    found = other.difference
    assert found.mean == pytest.approx(0.07 / 3) and found.verdict == "better"
    assert found.ci95[0] > 0 and base.win_rate.ci95[0] < other.win_rate.mean


def test_one_recipe_that_is_better_alone_may_not_be_so_among_many(bench):
    good = [0.52, 0.63, 0.725]  # t = 8.66 with 2 degrees of freedom: p is 1.3 %
    alone = bench({"base": [0.5, 0.6, 0.7], "good": good}).recipes[1].difference
    noise = {f"n{i}": [0.53, 0.58, 0.7] for i in range(4)}
    among = bench({"base": [0.5, 0.6, 0.7], "good": good} | noise).recipes[1].difference
    assert alone.p == pytest.approx(0.0131, abs=1e-4)
    assert alone.verdict == "better" and among.verdict == "no difference shown"
    assert among.ci95 == alone.ci95 and among.p_holm == 5 * among.p == 5 * alone.p


def test_a_worse_recipe_is_called_worse(bench):
    found = bench({"base": [0.60, 0.61, 0.62], "bad": [0.5, 0.52, 0.51]}).recipes[1].difference
    assert found.verdict == "worse" and found.p_holm < 0.05


def test_where_no_policy_was_adopted_the_base_is_judged(bench):
    result = bench({"base": [0.6, 0.61], "refused": [None, None]})
    refused = result.recipes[1]
    assert [run.win_rate for run in refused.runs] == [0.5, 0.5]
    assert refused.runs[0].judged_round is None and refused.runs[0].kl_to_base == 0
    assert "judged as the base: b-refused-s0" in bench_markdown(result)


def test_tokens_beyond_the_baselines_are_not_judged(bench):
    tokens = {"base": 100, "dear": 151, "huge": 301}
    rates = {label: [0.6, 0.61] for label in tokens}
    base, dear, huge = bench(rates, equal="tokens", tokens=tokens).recipes
    assert [recipe.runs[0].rounds for recipe in (base, dear, huge)] == [3, 1, 1]
    assert [recipe.runs[0].over_budget for recipe in (base, dear, huge)] == [False, False, True]


def test_a_failed_run_is_left_out_and_named_and_its_text_is_no_markup(bench):
    result = bench({"base": [0.6, 0.7, 0.8], "x": [0.6, 0.7, 0.9]}, {"b-x-s1": EVIL})
    assert [run.seed for run in result.recipes[1].runs] == [0, 2]
    page, text = bench_html(result), bench_markdown(result)
    assert "<script" not in page and "&lt;script&gt;" in page
    assert f"Failed: b-x-s1: {EVIL}" in text


def test_without_a_baseline_there_is_nothing_to_compare_with(bench):
    with pytest.raises(InputError, match=r"no run of the baseline succeeded: out of memory"):
        bench({"base": [0.6], "x": [0.6]}, errors={"b-base-s0": "out of memory"})


def jobs(labels=("base", "x"), seeds=(0, 1)):
    recipe = load_recipe(ROOT / "recipes" / "tunnel.yaml")
    return [
        Job(label, seed, recipe.model_copy(update={"run": f"{label}-s{seed}"}), label == "base")
        for seed in seeds
        for label in labels
    ]


def test_workers_keep_to_different_seeds():
    schedule = Schedule(jobs(), wait_for_baseline=False)
    assert [schedule.take(worker).run for worker in range(3)] == ["base-s0", "base-s1", "x-s0"]


def test_a_run_that_needs_a_budget_waits_until_its_baseline_is_done():
    schedule = Schedule(jobs(seeds=(0,)), wait_for_baseline=True)
    assert schedule.take(0).run == "base-s0"
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(schedule.take, 1)
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.1)
        schedule.finish(0, None, computed=True)
        assert waiting.result(timeout=10).run == "x-s0"


class Nobody:
    """No worker is needed: all runs are there."""

    threads, reaches_us = "1", False


@pytest.mark.parametrize(("measure", "begun"), [("win_rat", 1), ("win_rate", 4)])
def test_a_measure_that_the_baseline_lacks_ends_a_bench_with_its_first_run(
    tmp_path, monkeypatch, measure, begun
):
    every = jobs()
    for job in every:
        write_summary(tmp_path / job.run / "summary.json", whole(examples.aligned()))
    monkeypatch.setattr("bench.pool.complete", lambda *_: True)
    schedule = Schedule(every, wait_for_baseline=False)
    places = Places(str(tmp_path), tmp_path, "prompts", measure)
    pool = Pool(schedule, places, lambda job: None, tmp_path, Nobody())
    if measure == "win_rate":
        pool.run(1, lambda: None)
    else:
        with pytest.raises(InputError) as error:
            pool.run(1, lambda: None)
        assert str(error.value).startswith("--measure: ")
        assert "no measure 'win_rat' to compare; it has" in str(error.value)
        assert str(error.value).endswith("(did you mean 'win_rate'?)")
    assert len(schedule.done) == begun


def test_runs_without_a_budget_fail_and_the_others_go_on(tmp_path):
    every = jobs()
    schedule = Schedule(every, wait_for_baseline=True)
    assert [schedule.take(0).run, schedule.take(1).run] == ["base-s0", "base-s1"]
    schedule.finish(1, "broken", computed=True)
    failed = schedule.take(1)
    assert failed.run == "x-s1"
    places = Places(str(tmp_path), tmp_path, "tokens")
    with pytest.raises(InputError, match="no budget, as base-s1 failed"):
        budgets(every, schedule, places)(failed)
    schedule.finish(1, "no budget", computed=False)
    schedule.finish(0, None, computed=True)
    assert schedule.take(0).run == "x-s0" and schedule.take(1) is None
