"""Earlier rounds' pairs in the training of a policy: how many, which, and none of them twice."""

import pyarrow as pa
import pytest

from data.recipes.recipe import RuntimeConfig
from data.schemas import PREFERENCES
from data.store.artifacts import Artifact
from data.store.store import Store
from data.tables import write_table
from tasks.distill import _learned, earlier_sample, with_replay
from tasks.optimize import _sampled, sample_earlier
from tasks.running.loaded import LoadedModels
from tasks.stage import Context
from tests.models.training.training_rows import preferences

KEY = "sha256:" + 64 * "0"


@pytest.fixture
def context(tmp_path):
    runtime = RuntimeConfig(device="cpu")
    return Context(Store(tmp_path / "store"), runtime, LoadedModels("none", runtime))


def named(n, name):
    rows = [row | {"pair_id": f"{name}/{i}"} for i, row in enumerate(preferences(n).to_pylist())]
    return pa.Table.from_pylist(rows, PREFERENCES)


@pytest.fixture
def sample(context):
    """Pair ids of a sample of earlier rounds of 30 and of 10 pairs."""

    def put(n, name):
        def body(out):
            write_table(out / "data.parquet", named(n, name), PREFERENCES)
            return {}

        return context.store.put("preferences", {"name": name, "n": n}, body)

    def call(new, share, seed=0):
        earlier = [put(30, "one"), put(10, "two")]
        inputs = {"earlier": earlier, "new": put(new, "new"), "share": share, "seed": seed}
        rows = sample_earlier.body(context, **inputs)
        assert rows.table.schema == PREFERENCES and rows.counts == {"pairs": len(rows.table)}
        return rows.table["pair_id"].to_pylist()

    return call


@pytest.mark.parametrize(
    "new, share, wanted", [(20, 0.5, 20), (20, 0.2, 5), (10, 0.75, 30), (30, 0.75, 40), (0, 0.5, 0)]
)
def test_they_are_the_share_of_all_pairs_as_far_as_there_are_so_many(sample, new, share, wanted):
    found = sample(new, share)
    assert len(found) == len(set(found)) == wanted
    assert not any(pair.startswith("new") for pair in found)
    if 0 < wanted < 40:
        assert wanted / (wanted + new) == pytest.approx(share)


def test_all_earlier_rounds_are_drawn_from_by_seed(sample):
    drawn = [sample(20, 0.5, seed) for seed in range(5)]
    assert drawn[0] == sample(20, 0.5, 0)
    assert len({tuple(pairs) for pairs in drawn}) == 5
    assert {pair.split("/")[0] for pairs in drawn for pair in pairs} == {"one", "two"}


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("new", [1, 7, 40])
def test_a_plan_knows_how_many_are_learned_again(new, share):
    def table(rows):
        return Artifact(kind="preferences", key=KEY, digest=KEY, rows=rows)

    tables = [named(n, str(n)) for n in (30, 10)]
    student = {"preferences": table(new), "replay": [table(30), table(10)], "share": share}
    trained = with_replay(named(new, "new"), tables, share, seed=0)
    assert _learned(student) == len(trained)
    policy = {"new": table(new), "earlier": [table(30), table(10)], "share": share}
    assert _sampled(policy) == len(earlier_sample(tables, new, share, seed=0))
