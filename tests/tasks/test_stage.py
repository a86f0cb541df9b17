"""Stages: what enters the key, what is computed, and what is found again."""

from time import monotonic, sleep

import pyarrow as pa
import pytest
from prefect import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.sorting import FlowRunSort

from data.errors import InputError
from data.recipes.recipe import DecodingConfig, PolicyConfig, RuntimeConfig
from data.schemas import PROMPTS
from data.store.artifacts import Artifact
from data.store.store import Store
from tasks.running.keys import key_value
from tasks.running.loaded import LoadedModels
from tasks.running.outside import External
from tasks.running.progress import Progress
from tasks.running.subflow import subflow
from tasks.stage import Context, Rows, Run, stage

pytestmark = pytest.mark.usefixtures("prefect")


def table(n):
    rows = [{"prompt_id": f"p{i}", "messages": [], "dataset": "d"} for i in range(n)]
    return pa.Table.from_pylist(rows, PROMPTS)


@stage(PROMPTS, version="1")
def numbers(ctx, *, n: int):
    return Rows(table(n), {"n": n})


@stage(PROMPTS, version="1")
def first(ctx, *, prompts: Artifact, n: int):
    if n > 100:
        raise InputError("n: at most 100")
    return Rows(ctx.table(prompts).slice(0, n))


CALLS = []  # how many prompts each body of `shout` was given
BROKEN = set()  # prompts it fails at; no part of its key, like the weather


@stage(PROMPTS, version="1", shards="prompts")
def shout(ctx, *, prompts: Artifact):
    rows = ctx.table(prompts).to_pylist()
    CALLS.append(len(rows))
    if BROKEN & {row["prompt_id"] for row in rows}:
        raise InputError("a prompt that cannot be shouted")
    loud = [row | {"dataset": row["prompt_id"].upper()} for row in rows]
    return Rows(loud, {"shouted": len(rows)})


@pytest.fixture
def new_run(tmp_path):
    def make(store="store", **runtime):
        config = RuntimeConfig(**runtime)
        context = Context(Store(tmp_path / store), config, LoadedModels("none", config))
        return Run(context, Progress(quiet=True), "engine 1")

    return make


@subflow("pipeline", run_name="pipeline of {n}")
def _pipeline(n, k):
    return first(prompts=numbers(n=n), n=k)


def pipeline(run, n, k):
    with run.active():
        return _pipeline(n, k)


def test_a_second_run_computes_nothing_and_returns_the_same(new_run):
    a, b = new_run(), new_run()
    assert pipeline(a, 5, 2) == pipeline(b, 5, 2)
    assert (a.computed, b.computed) == (2, 0)
    assert [record.cached for record in b.records] == [True, True]


def test_a_changed_argument_recomputes_its_stage_and_what_follows(new_run):
    pipeline(new_run(), 5, 2)
    changed_last = new_run()
    pipeline(changed_last, 5, 3)
    assert changed_last.computed == 1
    changed_first = new_run()
    pipeline(changed_first, 6, 2)
    assert changed_first.computed == 2


def test_equal_content_upstream_keeps_the_stages_below_cached(new_run):
    run = new_run()
    pipeline(run, 5, 2)

    @stage(PROMPTS, version="2")
    def numbers_again(ctx, *, n: int):
        return Rows(table(n))

    again = new_run()
    with again.active():
        first(prompts=numbers_again(n=5), n=2)
    assert [record.cached for record in again.records] == [False, True]


def test_throughput_settings_and_the_stores_place_do_not_matter(new_run):
    a = pipeline(new_run("one"), 5, 2)
    b = pipeline(new_run("two", token_budget=99), 5, 2)
    assert a.model_copy(update={"seconds": 0}) == b.model_copy(update={"seconds": 0})


def shouting(run, n):
    with run.active():
        return shout(prompts=numbers(n=n))


def test_the_number_of_shards_changes_neither_the_result_nor_the_key(new_run):
    results = [
        shouting(new_run(f"store-{size}", shard_prompts=size), 10) for size in (1, 3, 10, 100)
    ]
    assert {result.digest for result in results} == {results[0].digest}
    assert {result.key for result in results} == {results[0].key}
    assert all(result.meta == {"shouted": 10} for result in results)
    again = new_run("store-3", shard_prompts=7)
    shouting(again, 10)
    assert again.computed == 0


def test_a_failed_stage_keeps_its_finished_shards(new_run):
    CALLS.clear()
    BROKEN.add("p5")
    with pytest.raises(InputError, match="cannot be shouted"):
        shouting(new_run(shard_prompts=4), 10)
    assert CALLS == [4, 4]
    BROKEN.clear()
    CALLS.clear()
    again = new_run(shard_prompts=4)
    shouting(again, 10)
    assert CALLS == [4, 2]  # the shard in flight and the one after it
    record = again.records[-1]
    assert (record.cached, record.shards, record.shards_reused) == (False, 3, 1)


@pytest.mark.parametrize("damage", ["delete", "truncate", "record"])
def test_a_lost_or_damaged_artifact_is_made_again(new_run, damage):
    run = new_run()
    result = pipeline(run, 5, 2)
    folder = run.context.store.path(result)
    if damage == "delete":
        (folder / "data.parquet").unlink()
    elif damage == "truncate":
        (folder / "data.parquet").write_bytes((folder / "data.parquet").read_bytes()[:-9])
    else:
        (folder / "artifact.json").write_text("{")
    again = new_run()
    assert pipeline(again, 5, 2).digest == result.digest
    assert again.computed == 1


def test_prefect_shows_what_was_computed_and_found_and_keeps_no_results(new_run, tmp_path):
    """Fault 6: the store is the only cache."""
    with get_client(sync_client=True) as client:
        for _ in range(2):
            pipeline(new_run(), 5, 2)
        shown = {}
        deadline = monotonic() + 30
        while (
            sum(map(len, shown.values())) < 4 and monotonic() < deadline
        ):  # the server is told late
            sleep(0.2)
            runs = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=2)
            shown = {run.id: states_of(client, run) for run in runs}
    found, computed = shown.values()
    assert computed == {"numbers": ("Completed", "COMPLETED"), "first": ("Completed", "COMPLETED")}
    assert found == {"numbers": ("Cached", "COMPLETED"), "first": ("Cached", "COMPLETED")}
    assert not (tmp_path / "store" / "prefect").exists()


def states_of(client, flow_run):
    """Name and type of the final states of a flow run's tasks, by title."""
    mine = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run.id]))
    runs = client.read_task_runs(flow_run_filter=mine)
    return {
        run.name: (run.state.name, run.state.type.value)
        for run in runs
        if run.state and run.state.is_final()
    }


def test_a_users_error_comes_through_as_it_is(new_run):
    with pytest.raises(InputError, match="n: at most 100"):
        pipeline(new_run(), 5, 200)


def test_what_has_no_place_in_a_key_is_refused():
    with pytest.raises(TypeError, match="dict"):
        key_value({"a": 1})


def test_models_enter_a_key_by_content_and_configs_without_locations():
    assert key_value(External(path="/somewhere", digest="sha256:1")) == "sha256:1"
    assert key_value(DecodingConfig(max_tokens=64))["max_tokens"] == 64
    assert key_value(PolicyConfig(model="a")) == key_value(PolicyConfig(model="b")) == {}


def test_what_a_training_does_not_use_and_new_settings_leave_its_key_alone():
    """Fault 3: each was in the key, whatever the training did."""

    class Later(PolicyConfig):
        added: bool = False

    assert key_value(PolicyConfig(beta=0.2)) == key_value(Later(beta=0.2)) == {"beta": 0.2}
    assert key_value(Later(added=True)) == {"added": True}
    unused = {"average_decay": 0.1, "replay_share": 0.1, "template": "plain"}
    assert key_value(PolicyConfig(**unused)) == {}
    assert "adapter" not in key_value(PolicyConfig(method="full"))


def test_a_class_among_several_is_named_though_its_settings_are_the_defaults():
    weights = [PolicyConfig(pair_weight={"form": form}) for form in ("none", "sigmoid", "linear")]
    assert [key_value(config) for config in weights] == [
        {},
        {"pair_weight": {"form": "sigmoid"}},
        {"pair_weight": {"form": "linear"}},
    ]
    assert key_value(PolicyConfig(losses={"dual_clip": 1.0})) == {"losses": {"dual_clip": {}}}
