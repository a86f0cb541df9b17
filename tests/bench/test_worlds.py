"""Runs in several worlds: what is paired, what counts once, who makes which bootstrap."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.collect import collect
from bench.jobs import Job, Places
from bench.paired import mean_interval
from bench.pool import Schedule
from bench.report import bench_html, bench_markdown, bench_table, world_table
from bench.tunnel import check, command_line, plan
from bench.variants import BenchRun, Variant, parse_variants
from bench.worlds import estimate, in_worlds, units
from data.errors import InputError
from data.summary import write_summary
from flows.earlier import whole
from flows.recipe_files import load_recipe
from reports.text import percent
from tests.reports import report_examples as examples
from tests.repository import ROOT

ABOUT = {"name": "b", "command": "tsalign bench", "seconds": 1.0, "workers": {"workers": "2"}}
TUNNEL = str(ROOT / "recipes" / "tunnel.yaml")
shares = st.floats(0, 1, allow_nan=False)


def run(world, seed, value, difference=None):
    counts = dict.fromkeys(("rounds", "prompts", "tokens", "teacher_calls"), 1)
    return BenchRun(
        run=f"x-w{world}-s{seed}", world=world, seed=seed, run_digest="d", budget=1,
        over_budget=False, judged_round=1, seconds=1, stage_seconds={}, measuring_seconds={},
        value=value, win_rate=value, ci95=None, difference=difference, **counts,
    )  # fmt: skip


def runs_of(table):
    """Of values by world and seed."""
    return [run(w, s, value) for w, row in enumerate(table) for s, value in enumerate(row)]


# Units


def test_a_world_counts_once_by_the_mean_of_its_seeds():
    found = estimate(runs_of([[0.5, 0.7], [0.6, 0.8], [0.65]]))
    assert found.mean == pytest.approx((0.6 + 0.7 + 0.65) / 3) and found.over == "worlds"
    assert found.ci95 == pytest.approx(mean_interval([0.6, 0.7, 0.65])[1])
    assert (found.low, found.high) == (pytest.approx(0.6), pytest.approx(0.7))
    assert found.next[0] < found.ci95[0] and found.deviation == pytest.approx(0.05)


@given(st.lists(shares, min_size=2, max_size=6), st.integers(2, 5))
def test_repeating_the_seeds_of_a_world_narrows_nothing(values, times):
    once = estimate(runs_of([[value] for value in values]))
    again = estimate(runs_of([[value] * times for value in values]))
    assert again.mean == pytest.approx(once.mean) and again.low == pytest.approx(once.low)
    if once.ci95 and once.ci95[1] - once.ci95[0] > 1e-6:
        assert again.ci95 == pytest.approx(once.ci95)


def test_in_one_world_and_without_worlds_the_mean_is_over_seeds():
    for world in (None, 7):
        found = estimate([run(world, seed, value) for seed, value in enumerate((0.5, 0.6, 0.7))])
        assert found.over == "seeds" and found.ci95 == mean_interval([0.5, 0.6, 0.7])[1]
    assert in_worlds([run(None, 0, 0.5)]) == []


def test_a_run_without_a_number_counts_in_no_world():
    found = [run(0, 0, 0.5, 0.1), run(0, 1, 0.5), run(1, 0, 0.5), run(2, 0, 0.5, 0.3)]
    assert units(found, lambda one: one.difference) == ([0.1, 0.3], "worlds")
    assert [one.difference for one in in_worlds(found)] == [0.1, None, 0.3]


# From summaries to figures


@pytest.fixture
def bench(tmp_path):
    """Figures of recipes with these final win rates, world by world and seed by seed."""
    return lambda rates, errors=None: figures(tmp_path, rates, errors or {})


def figures(folder, rates, errors):
    places = Places(str(folder / "store"), folder / "runs", "prompts")
    jobs = []
    for label, by_world in rates.items():
        for world, by_seed in enumerate(by_world):
            for seed, rate in enumerate(by_seed):
                name = f"b-{label}-w{world}-s{seed}"
                recipe = load_recipe(TUNNEL, [f"seed={seed}", f"world.seed={world}"], run=name)
                jobs.append(Job(label, seed, recipe, label == next(iter(rates)), world))
                summary = examples.aligned()
                summary.config = summary.config | {"world": {"seed": world}}
                summary.rounds[-1].policy.win_rate = rate
                write_summary(folder / "runs" / name / "summary.json", whole(summary))
    known = {job.run: errors.get(job.run) for job in jobs}
    return collect([Variant(label, "f.yaml") for label in rates], jobs, known, places, **ABOUT)


def test_differences_are_taken_within_a_world(bench):
    # worlds move both recipes by far more than they differ
    found = bench({"base": [[0.5], [0.6], [0.7]], "other": [[0.52], [0.63], [0.72]]})
    base, other = found.recipes
    assert found.worlds == [0, 1, 2] and found.seeds == [0]
    assert other.difference.over == "worlds" and other.difference.verdict == "better"
    assert other.difference.mean == pytest.approx(0.07 / 3)
    assert other.difference.ci95[0] > 0 and base.value.ci95[0] < other.value.mean
    assert [one.difference for one in other.worlds] == pytest.approx([0.02, 0.03, 0.02])
    assert other.difference.low == pytest.approx(0.02)
    assert base.worlds[1].difference is None and base.difference is None
    assert not other.changes  # the world's seed is no change of the recipe


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.tuples(shares, shares), min_size=2, max_size=5),
    st.lists(st.floats(-0.3, 0.3), min_size=5, max_size=5),
)
def test_what_moves_a_whole_world_leaves_its_difference(tmp_path_factory, pairs, shifts):
    """Also where the world that is shifted is another for each: pairing is by world."""

    def difference(by):
        rates = {
            "base": [[a + shift] for (a, _), shift in zip(pairs, by, strict=False)],
            "other": [[b + shift] for (_, b), shift in zip(pairs, by, strict=False)],
        }
        return figures(tmp_path_factory.mktemp("w"), rates, {}).recipes[1].difference

    plain, moved = difference([0.0] * 5), difference(shifts)
    assert moved.mean == pytest.approx(plain.mean, abs=1e-9)
    assert moved.deviation == pytest.approx(plain.deviation, abs=1e-9)


def test_more_seeds_in_few_worlds_are_no_more_worlds(bench):
    """Four runs that agree within each of two worlds: still two values, and nothing shown."""
    rates = {"base": [[0.5] * 4, [0.5] * 4], "other": [[0.51] * 4, [0.55] * 4]}
    found = bench(rates).recipes[1].difference
    assert found.verdict == "no difference shown" and found.over == "worlds"
    assert found.mean == pytest.approx(0.03) and found.deviation == pytest.approx(0.04 / 2**0.5)


def test_a_failed_run_leaves_its_world_to_the_other_seeds(bench):
    rates = {"base": [[0.5, 0.6], [0.6, 0.7]], "x": [[0.6, 0.9], [0.7, 0.7]]}
    found = bench(rates, {"b-x-w0-s1": "lost", "b-base-w1-s0": "lost"})
    assert [one.seeds for one in found.recipes[1].worlds] == [[0], [0, 1]]
    assert [one.difference for one in found.recipes[1].worlds] == pytest.approx([0.1, 0.0])


def test_pages_say_what_the_interval_is_and_show_every_world(bench):
    found = bench({"base": [[0.5], [0.6], [0.7]], "other": [[0.49], [0.63], [0.72]]})
    text, page = bench_markdown(found), bench_html(found)
    for shown in (text, page):
        assert "over worlds" in shown and "world 2" in shown and "2 of 3" in shown
        assert f"in {percent(0.75)} of cases" in shown and "one more world" in shown
    assert f"| base | {percent(0.5)} | {percent(0.6)} | {percent(0.7)} |" in text
    assert "(+3.0)" in text
    assert world_table(found).row_count == 2
    assert not {"teacher calls", "rounds"} & {one.header for one in bench_table(found).columns}
    assert "Strokes: single worlds" in page


def test_one_world_is_told_as_one(bench):
    found = bench({"base": [[0.5, 0.6]], "other": [[0.6, 0.65]]})
    assert found.recipes[1].difference.over == "seeds" and world_table(found) is None
    assert "Worlds 0 (world.seed)" in bench_markdown(found)
    assert "one more world" not in bench_markdown(found)


def test_every_measure_is_there_round_by_round(bench):
    steps = bench({"base": [[0.5]]}).recipes[0].runs[0].steps
    assert [one.round for one in steps["win_rate"]] == [1, 2, 3] and steps["win_rate"][0].ci95
    assert "label_precision" in steps and "tokens" not in steps  # which adds up


def test_machines_that_differ_are_named(bench, tmp_path, monkeypatch):
    from data import summary as module

    real, names = module.read_summary, iter(["A", "B"])

    def read(path):
        found = real(path)
        found.machine = {"cpu": next(names), "engine": "same"}
        return found

    monkeypatch.setattr("bench.jobs.read_summary", read)
    found = bench({"base": [[0.5], [0.6]]})
    assert found.machines_differ == {"cpu": ["A", "B"]}
    assert "not made on equal machines: cpu is A or B" in bench_markdown(found)


# The runs


def planned(worlds=(0, 1), seeds=(0,), texts=(f"a={TUNNEL}", f"b={TUNNEL}:policy.beta=0.2")):
    return plan(parse_variants(texts), worlds, seeds, "n", [])


def test_every_recipe_runs_in_every_world_with_every_seed():
    jobs = planned(worlds=(5, 7), seeds=(0, 1))
    assert [job.run for job in jobs[:4]] == ["n-a-w5-s0", "n-b-w5-s0", "n-a-w5-s1", "n-b-w5-s1"]
    for job in jobs:
        assert (job.recipe.world.seed, job.recipe.seed) == job.pair
    assert jobs[0].recipe.world.model_dump(exclude={"seed"}) == (
        jobs[-1].recipe.world.model_dump(exclude={"seed"})
    )
    assert jobs[0].title == "a, world 5, seed 0"


def test_without_worlds_runs_are_called_and_made_as_before():
    jobs = planned(worlds=[None])
    assert [job.run for job in jobs] == ["n-a-s0", "n-b-s0"] and jobs[0].title == "a, seed 0"
    assert jobs[0].recipe.world == load_recipe(TUNNEL).world


def test_the_command_repeats_the_worlds():
    said = command_line(["f.yaml"], "5,6", "1", "prompts", None, "n", [])
    assert said == "tsalign bench f.yaml --worlds 5,6 --seeds 1 --equal prompts --name n"
    assert "--worlds" not in command_line(["f.yaml"], None, "5", "prompts", None, "n", [])


def test_a_change_may_name_the_run_of_the_same_world_and_seed(tmp_path):
    text = f"a={TUNNEL}:student.model={tmp_path}/w{{world}}-s{{seed}}"
    jobs = planned(worlds=(3, 4), seeds=(0, 1), texts=[text])
    named = [job.recipe.student.model for job in jobs]
    assert named == [f"{tmp_path}/w{w}-s{s}" for w in (3, 4) for s in (0, 1)]


def test_what_only_one_world_names_is_looked_at_too(tmp_path):
    (tmp_path / "w0").mkdir()
    jobs = planned(
        worlds=(0, 1), texts=[f"a={TUNNEL}", f"b={TUNNEL}:student.model={tmp_path}/w{{world}}"]
    )
    looked = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flows.preflight.inputs.check_inputs", looked.append)
        check(
            jobs, Places(str(tmp_path / "store"), tmp_path / "runs", "prompts"), tmp_path / "runs"
        )
    assert [one.run for one in looked] == ["n-a-w0-s0", "n-b-w0-s0", "n-b-w1-s0"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"a={TUNNEL}:world.seed=3", "a: world.seed is what --worlds decides"),
        (f"a={ROOT / 'recipes' / 'logged.yaml'}", "a: takes nothing from the embedded world"),
    ],
)
def test_what_has_no_other_worlds_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        planned(texts=[text])
    assert planned(worlds=[None], texts=[text])


def test_workers_make_the_bootstraps_of_two_worlds_side_by_side():
    schedule = Schedule(planned(worlds=(0, 1, 2), seeds=(0, 1)), wait_for_baseline=False)
    first, second = schedule.take(0), schedule.take(1)
    assert (first.world, second.world) == (0, 1)
    taken = []
    for _ in range(5):  # one that is quick stays in a world of its own as long as there is one
        schedule.finish(0, None, computed=True)
        taken.append(schedule.take(0).pair)
    assert taken[:3] == [(0, 0), (0, 1), (0, 1)] and taken[3][0] == 2


def test_the_baseline_of_the_same_world_comes_first():
    jobs = planned(worlds=(0, 1))
    schedule = Schedule(jobs, wait_for_baseline=True)
    assert [schedule.take(n).run for n in (0, 1)] == ["n-a-w0-s0", "n-a-w1-s0"]
    schedule.finish(1, None, computed=True)
    assert schedule.take(1).run == "n-b-w1-s0"


def test_jobs_of_one_seed_and_two_worlds_are_two_pairs():
    one = planned()[0]
    assert replace(one, world=9).pair != one.pair
