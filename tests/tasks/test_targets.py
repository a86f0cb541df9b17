"""The stage `targets`: what is kept and how exactly, in which pieces, and what is made again."""

import numpy as np
import pyarrow as pa
import pytest

from data.recipes.distillation import TargetsConfig
from data.recipes.recipe import RuntimeConfig
from data.schemas import COMPLETIONS, PROMPTS, TARGETS
from data.store.digests import tree_digest
from data.store.store import Store
from data.tables import write_table
from models.teacher import Teacher
from tasks import targets as module
from tasks.running.books import Books
from tasks.running.loaded import LoadedModels
from tasks.running.outside import External
from tasks.running.progress import Progress
from tasks.stage import Context, Rows, Run, stage
from tasks.targets import columns, targets

N = 6
TALK = [[{"role": "user", "content": f"What is {i} plus 1?"}] for i in range(N)]
ANSWERS = ["yes", "no, " * 299, "fig", "green", "red", "blue"]  # the second is too long


@stage(PROMPTS, version="1")
def given_prompts(ctx: Context) -> Rows:
    rows = [{"prompt_id": f"p{i}", "messages": talk, "dataset": "d"} for i, talk in enumerate(TALK)]
    return Rows(rows)


@stage(COMPLETIONS, version="1")
def given_answers(ctx: Context) -> Rows:
    rows = [
        {
            "completion_id": f"p{i}/0",
            "prompt_id": f"p{i}",
            "sample": 0,
            "completion": text,
            "finish_reason": "stop",
            "n_tokens": 1,
            "token_ids": [50, 60, 70] if i == 2 else None,
        }
        for i, text in enumerate(ANSWERS)
    ]
    return Rows(rows)


@pytest.fixture
def start(tmp_path):
    """A run over the same store, with so many prompts a shard."""
    made = []

    def start(shard_prompts=512):
        runtime = RuntimeConfig(device="cpu", shard_prompts=shard_prompts)
        made.append(LoadedModels("none", runtime))
        context = Context(Store(str(tmp_path / "store")), runtime, made[-1])
        return Run(context, Progress(quiet=True), "none", books=Books(kept=False))

    yield start
    for loaded in made:
        loaded.close()


def call(run, policy_dir, at=None, **changes):
    model = External(path=str(policy_dir), digest=tree_digest(policy_dir))
    config = TargetsConfig(**{"k": 5} | changes)
    with run.active():
        inputs = {"prompts": given_prompts(), "completions": given_answers()}
        return targets(teacher=model, config=config, engine="transformers 1 cpu", at=at, **inputs)


def test_a_row_for_each_completion_with_lists_by_position(start, policy_dir):
    run = start()
    made = call(run, policy_dir)
    rows = run.context.store.table(made).to_pylist()
    assert [row["completion_id"] for row in rows] == [f"p{i}/0" for i in range(N)]
    assert rows[1]["top_ids"] is None and made.meta["unread"] == 1 and made.meta["read"] == N - 1
    assert rows[2]["token_ids"] == [50, 60, 70]
    read = [row for row in rows if row["token_ids"]]
    for row in read:
        n = len(row["token_ids"])
        assert (len(row["logps"]), len(row["rest"])) == (n, n)
        assert (len(row["top_ids"]), len(row["top_logps"])) == (5 * n, 5 * n)
    assert made.meta["tokens"] == sum(len(row["token_ids"]) for row in read)
    kept = made.meta["total_kept"] / made.meta["tokens"]
    assert kept == pytest.approx(np.mean([1 - x for row in read for x in row["rest"]]), rel=1e-5)


def test_shards_give_the_same_table_and_what_is_there_is_not_read_again(
    start, policy_dir, monkeypatch
):
    whole = call(first := start(), policy_dir)
    expected = first.context.store.table(whole)
    run, seen = start(shard_prompts=2), []
    original = Teacher.targets

    def counted(self, items, *rest, **named):
        if len(seen) == 2:
            raise RuntimeError("the machine went away")
        seen.append(len(items))
        return original(self, items, *rest, **named)

    monkeypatch.setattr(Teacher, "targets", counted)
    monkeypatch.setattr("tasks.running.call._RETRY_DELAY", 0)
    with pytest.raises(RuntimeError, match="went away"):
        call(run, policy_dir, temperature=0.9)
    assert seen == [2, 2]
    seen[:] = [0]  # one shard more, and then the machine may go
    made = call(run := start(shard_prompts=2), policy_dir, temperature=0.9)
    assert seen == [0, 2] and run.records[-1].shards_reused == 2
    whole = call(start(), policy_dir, temperature=0.9)
    assert whole.digest == made.digest  # found, though it was made in pieces
    assert not run.context.store.table(made).equals(expected)


@pytest.mark.parametrize("changes", [{"k": 6}, {"temperature": 0.5}])
def test_settings_are_in_the_key(start, policy_dir, changes):
    run = start()
    first, other = call(run, policy_dir), call(run, policy_dir, **changes)
    assert first.key != other.key
    key = run.context.store.record(first).key
    assert key["logprobs"] == "raw" and key["engine"] == "transformers 1 cpu"
    assert key["teacher"].startswith("sha256:")


def test_another_teacher_at_the_same_tokens_and_ids(start, policy_dir, other_policy_dir):
    first = call(start(), other_policy_dir)
    run = start(shard_prompts=2)
    made = call(run, policy_dir, at=first)
    tables = [run.context.store.table(one) for one in (first, made, call(start(), policy_dir))]
    for name in ("completion_id", "token_ids", "top_ids"):
        assert tables[0][name] == tables[1][name]
    assert tables[1]["top_ids"] != tables[2]["top_ids"]
    assert tables[1]["logps"].to_pylist()[0] == pytest.approx(
        tables[2]["logps"].to_pylist()[0], abs=1e-4
    )
    assert made.meta["unread"] == 1 and made.meta["total_kept"] < first.meta["total_kept"]
    assert run.context.store.record(made).key["at"] == first.digest


def test_half_precision_is_as_exact_as_the_schema_promises(policy_dir):
    """Nats: half a last digit of float16, so 2**-12 below 1, 2**-9 at 4 to 8, 2**-8 at 8 to 16."""
    teacher = Teacher(policy_dir, RuntimeConfig(device="cpu"))
    (found,) = teacher.targets([(TALK[0], "green fig")], 400, 1.0)
    *_, stored = columns([found])
    exact, kept = found.top_logps.ravel(), stored.values.to_numpy().astype(np.float32)
    assert exact.min() < -8
    step = 2.0 ** (np.floor(np.log2(np.maximum(np.abs(exact), 2.0**-14))) - 11)
    assert (np.abs(kept - exact) <= step * 1.001).all()


def test_a_group_of_rows_on_disk_fits_into_memory(tmp_path):
    import pyarrow.parquet as pq

    table = TARGETS.empty_table()
    row = pa.table([["a"], ["p"], [[1]], [[-1.0]], [[0.5]], [[3]], [np.float16([-0.5])]], TARGETS)
    table = pa.concat_tables([table, *[row] * 600])
    write_table(tmp_path / "t.parquet", table, TARGETS)
    file = pq.ParquetFile(tmp_path / "t.parquet")
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [
        256, 256, 88,
    ]  # fmt: skip
    assert module.targets.schema is TARGETS
