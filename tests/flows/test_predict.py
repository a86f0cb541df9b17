"""What a run will take is predicted from what stages have taken here, and that is kept."""

import copy
import json
import shutil

import pytest

from cli.main import main
from data.rates import FOLDER, Measured, Rates
from data.recipes.recipe import RuntimeConfig
from data.store.store import Store
from flows.planning import pilot, predict
from flows.planning.foreseen import Foreseen
from flows.planning.predict import predicted
from flows.planning.preview import prompt_files
from flows.preflight.fitting import fitted
from flows.table import recipe_from
from tasks import bootstrap
from tasks.running.books import Books
from tasks.running.context import Context
from tasks.running.loaded import LoadedModels
from tasks.running.measuring import BETWEEN, START, beside, machine_of
from tasks.running.progress import Progress
from tasks.stage import Run
from tests.flows.tiny_recipes import TINY
from tests.repository import ROOT


def changed(values, **sections):
    values = copy.deepcopy(values)
    for name, fields in sections.items():
        values[name] = {**values.get(name, {}), **fields}
    return values


def expected(values, folder):
    whole = fitted(recipe_from(values))
    place = str(folder / "store")
    return predicted(whole, place, folder / "runs" / whole.run, prompt_files(whole))


def known(folder, values):
    return Rates(folder / "store", machine_of(recipe_from(values).runtime)).known()


def step(found, title, section="Round 1 of 2"):
    (one,) = (one for one in found.work if (one.section, one.title) == (section, title))
    return one


@pytest.fixture(scope="module")
def measured(tiny_recipe, tmp_path_factory):
    """A folder whose store has nothing but what the pilot of the tiny recipe has measured."""
    folder = tmp_path_factory.mktemp("measured")
    return folder, expected(tiny_recipe, folder)


@pytest.fixture
def no_pilot(monkeypatch):
    monkeypatch.setattr(predict, "_measured", lambda *_: pytest.fail("measured again"))


def test_the_pilot_reaches_every_stage_of_a_round(measured):
    folder, found = measured
    assert not found.unknown, found.notes
    first = [one for one in found.work if one.section in ("Preparing", "Round 1 of 2")]
    assert {one.source for one in first if one.model} <= {"pilot", "like"}
    assert all(one.seconds > 0 and one.disk > 0 for one in found.work)
    assert step(found, "optimize").memory > 1e8 and step(found, "optimize").source == "pilot"
    assert found.seconds == found.start + found.between + sum(one.seconds for one in found.work)
    assert found.start > 0 and found.between > 0


@pytest.mark.parametrize(
    "took, size",
    [
        ([], 4),
        ([10.0], 32),
        ([10.1], 12),  # slow: fewer
        ([3.0, 3.5], 128),
        ([9.0, 3.0], 128),  # the first warms up: the next is taken to be as fast as the last
        ([6.0, 9.0], 10),  # 15 and 9 + 3 / 28 * 96 are more than 30; 15 and 6 are not
        ([10.0, 10.5], None),  # nor is there time for the first again
        ([6.0, 8.0], 128),  # 14 and 8 + 2 / 28 * 96 are 28.9
        ([3.0, 3.5, 5.0], None),
    ],
)
def test_passes_grow_while_there_is_time(took, size):
    done = list(zip((4, 32, 128), took, strict=False))
    assert pilot.size_after(done, seconds=30.0) == size


def test_the_first_pass_counts_only_where_later_ones_do_not_tell_two_sizes(tmp_path):
    rates = Rates(tmp_path, {"cpu": "x"})
    passes = pilot.Passes(rates)
    for units in (("warmed", 4), ("once", 4)), (("warmed", 32), ("once", 32)), (("warmed", 10),):
        for call, size in units:
            passes.add(Measured(call, call, "stage", size, seconds=1.0, cores=1.0, pilot=True))
        passes.over()
    assert not rates.path.exists()
    passes.keep()
    known = {call: rates.known().rate(call, call).points for call in ("warmed", "once")}
    assert [one.units for one in known["warmed"]] == [32, 10]
    assert [one.units for one in known["once"]] == [4, 32]


def test_passes_of_a_world_have_one_tokenizer_so_that_their_models_are_of_one_shape(tmp_path):
    store, runtime = Store(tmp_path / "store"), RuntimeConfig(device="cpu")
    context = Context(store, runtime, LoadedModels("none", runtime))
    run = Run(context, Progress(quiet=True), "none", books=Books(kept=False))
    made = []
    with run.active():
        for prompts in (4, 32):
            run.ahead = pilot.Pilot(run, Store(tmp_path / "there"), prompts)
            made.append(bootstrap.tokenizer(lessons=2000, examples=1000, seed=20).digest)
    assert len(set(made)) == 1


def test_it_leaves_nothing_but_measurements(measured):
    folder, _ = measured
    assert {path.name for path in (folder / "store").iterdir()} == {"rates", "tmp", "locks"}
    assert not list((folder / "store" / "tmp").iterdir()) and not (folder / "runs").exists()


def test_what_was_measured_is_used_without_measuring_again(measured, tiny_recipe, no_pilot):
    folder, found = measured
    again = expected(tiny_recipe, folder)
    assert again.steps == found.steps and again.told() | {"notes": []} == found.told() | {
        "notes": []
    }
    # Seeds and rates of learning make no stage faster.
    other = expected(tiny_recipe | {"seed": 7} | changed(tiny_recipe, policy={"beta": 0.3}), folder)
    assert [one.seconds for one in other.steps] == [one.seconds for one in found.steps]


def test_the_prediction_grows_with_the_prompts_by_the_line_of_its_rate(
    measured, tiny_recipe, no_pilot
):
    folder, small = measured
    large = expected(changed(tiny_recipe, prompts={"per_round": 20}), folder)
    for title in ("generate", "score"):
        one, two = step(small, title), step(large, title)
        assert two.calls == 2 * one.calls == 80 and two.seconds >= one.seconds
    assert step(large, "generate").tokens == 2 * step(small, "generate").tokens
    # What is held out is no more.
    title = "base answers test prompts"
    assert step(large, title).seconds == step(small, title).seconds
    # Twice the pairs, of which the same share is kept.
    pairs = [step(found, "optimize").calls for found in (small, large)]
    assert pairs[0] > 0 and abs(pairs[1] - 2 * pairs[0]) <= 1
    three, two, one = (
        step(expected(changed(tiny_recipe, prompts={"per_round": n}), folder), "generate").seconds
        for n in (30, 20, 10)
    )
    assert three - two == pytest.approx(two - one)


def test_a_prediction_that_ends_early_says_where(measured, tiny_recipe, no_pilot, tmp_path):
    folder = tmp_path / "nothing-kept"
    shutil.copytree(measured[0], folder)
    (path,) = (folder / "store" / FOLDER).glob("*.jsonl")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows = [row | {"rows": 0} if row.get("stage") == "relabel" else row for row in rows]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = expected(tiny_recipe, folder)
    assert "optimize" not in {one.title for one in found.work}
    (note,) = (note for note in found.notes if note.startswith("the prediction goes no further"))
    assert "too few rows are left after 'relabel'" in note and "min_margin" not in note


def test_shards_are_counted_and_workers_share_them(measured, tiny_recipe, no_pilot):
    folder, whole = measured
    values = changed(tiny_recipe, runtime={"shard_prompts": 4})
    cut, shared = (
        expected(more, folder)
        for more in (values, values | {"execution": {"kind": "ray", "workers": 2}})
    )
    generate, score = step(cut, "generate"), step(cut, "score")
    assert generate.bodies == score.bodies == 3 and step(whole, "generate").bodies == 1
    assert score.disk > 2 * step(whole, "score").disk  # shards stay beside the whole
    assert step(shared, "score").seconds == pytest.approx(score.seconds / 2)
    assert step(shared, "optimize").seconds == step(cut, "optimize").seconds
    assert any("2 workers" in note for note in shared.notes)


def test_the_command_shows_tables_and_json(
    measured, tiny_recipe, write_recipe, capsys, no_pilot, monkeypatch
):
    folder, found = measured
    monkeypatch.setenv("COLUMNS", "80")
    path, where = write_recipe(tiny_recipe), ["--store", str(folder / "store")]
    where += ["--runs-dir", str(folder / "runs")]
    assert main(["check", str(path), "--time", *where]) == 0
    text = capsys.readouterr().out
    assert "Expected here: Round 2 of 2" in text and "In all about" in text
    assert all(len(line) <= 80 for line in text.splitlines() if "/" not in line)
    assert main(["check", str(path), "--time", "--json", *where]) == 0
    told = json.loads(capsys.readouterr().out)["time"]
    assert told["seconds"] == pytest.approx(found.seconds, abs=0.06) and told["unknown"] == []
    assert len(told["steps"]) == len(found.work)
    assert main(["check", str(path), "--json", *where]) == 0
    assert json.loads(capsys.readouterr().out)["time"] is None


def test_on_paper_for_gpus_that_are_not_here(tiny_recipe, write_recipe, tmp_path, capsys, no_pilot):
    path, where = write_recipe(tiny_recipe), ["--store", str(tmp_path / "store")]
    assert main(["check", str(path), "--device", "8xh100", *where]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Expected on 8xh100: Round 1 of 2" in text and "nothing was measured" in text
    assert main(["check", str(path), "--device", "h100", "--json", *where]) == 0
    paper = json.loads(capsys.readouterr().out)["paper"]
    steps = {one["title"]: one for one in paper["steps"] if one["section"] == "Round 1 of 2"}
    assert steps["generate"]["calls"] == 40 and steps["generate"]["tokens"] == 40 * 12
    assert steps["optimize"]["memory"] > 0 and steps["mine"]["calls"] == 0
    assert paper["seconds"] == pytest.approx(sum(s["seconds"] for s in paper["steps"]), abs=0.1)
    assert not (tmp_path / "store").exists()


def test_stages_that_are_known_at_one_size_are_named_with_their_share(tiny_recipe):
    def told(*seconds: float) -> list[str]:
        steps = [
            Foreseen("Round 1", f"stage {n}", "s", "compute", bodies=1, seconds=one, thin=not n)
            for n, one in enumerate(seconds)
        ]
        return predict._notes(recipe_from(tiny_recipe), predict.Prediction(steps))

    (note,) = told(3.0, 1.0)
    assert "with 75% of the time" in note and note.endswith(": stage 0")
    assert told(0.001, 1.0) == []


def test_on_paper_everything_counts_whatever_the_store_holds(
    tiny_recipe, write_recipe, tiny_copy, tmp_path, capsys
):
    path = write_recipe(tiny_recipe)
    told = []
    for folder in (tiny_copy, tmp_path / "none"):
        where = ["--store", str(folder / "store"), "--runs-dir", str(folder / "runs")]
        assert main(["check", str(path), "--device", "h100", "--json", *where]) == 0
        told.append(json.loads(capsys.readouterr().out)["paper"])
    assert told[0] == told[1] and told[0]["steps"]


def test_what_cannot_be_estimated_is_refused_in_a_line(refuse, tiny_recipe, write_recipe, tmp_path):
    path, where = str(write_recipe(tiny_recipe)), ("--store", str(tmp_path / "store"))
    assert refuse("check", path, "--device", "h1000", *where).startswith(
        "--device: 'h1000' is none of h100, h200"
    )
    assert refuse("check", path, "--device", "", *where).startswith("--device: '' is none of h100")
    world = str(ROOT / "recipes" / "small.yaml")
    line = refuse("check", world, "--device", "h100", *where)
    assert line.startswith("--device: the recipe's models are made by its run")
    assert not (tmp_path / "store").exists()


def test_a_run_leaves_what_its_stages_have_taken(tiny_recipe, tiny_run, no_pilot):
    rates = known(tiny_run, tiny_recipe)
    for name in (START, BETWEEN):
        call = beside(name, pilot=False)
        assert rates.rate(call, call).seconds.at(1) >= 0
    found = expected(tiny_recipe, tiny_run)
    assert not found.work and found.seconds == 0
    other = expected(changed(tiny_recipe, policy={"beta": 0.271}), tiny_run)
    tuned = step(other, "optimize")
    assert tuned.source == "run" and tuned.seconds > 0 and not other.unknown
    assert {one.state for one in other.work} == {"compute", "later"}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(TINY.keys() - {"ts-align"}))
def test_every_flow_has_a_pilot_that_reaches_its_models(name, tiny_recipe, tmp_path):
    values = TINY[name].recipe(tiny_recipe, tmp_path) | {"run": name}
    found = expected(values, tmp_path)
    first = [one for one in found.work if one.section in ("Preparing", found.work[-1].section)]
    assert first and not [one.title for one in first if one.model and one.seconds is None], (
        found.notes
    )


def test_what_cannot_be_foreseen_is_refused_before_anything_is_measured(
    tiny_recipe, write_recipe, tmp_path, refuse
):
    path = write_recipe(changed(tiny_recipe))
    line = refuse("check", str(path), "--time", "--store", "/proc/none")
    assert line.startswith("--store: '/proc/none") and "cannot be written" in line
    collection = {"retrieval": [{"path": str(tmp_path)}]}
    texts = {"documents": [{"path": "d.jsonl"}], "queries": [{"path": "q.jsonl"}]}
    leaf = {"recipe": "leaf", "run": "l", "teacher": {"model": "t"}, "texts": texts}
    path = write_recipe(leaf | {"evaluate": collection})
    assert refuse("check", str(path), "--time").startswith("--time: what a recipe of 'leaf' takes")
