"""Which pairs a student learns from, and their answers as a teacher reads them."""

import pyarrow as pa
import pytest

from data.errors import InputError
from data.recipes.recipe import RuntimeConfig
from data.schemas import PREFERENCES, PROMPTS
from data.store.store import Store
from tasks.distill_pairs import answers_of, draw_pairs, prompts_of
from tasks.running.books import Books
from tasks.running.loaded import LoadedModels
from tasks.running.progress import Progress
from tasks.stage import Context, Rows, Run, stage
from tests.models.training.training_rows import preferences

N = 9


@stage(PREFERENCES, version="1")
def given_pairs(ctx: Context) -> Rows:
    """Nine pairs; the last two are of one prompt, and chose the same answer."""
    rows = preferences(N).to_pylist()
    rows[8] |= {name: rows[7][name] for name in ("prompt_id", "messages", "chosen", "chosen_id")}
    rows[0]["chosen_token_ids"] = [5, 6, 7]
    return Rows(pa.Table.from_pylist(rows, PREFERENCES))


@stage(PROMPTS, version="1")
def given_held_out(ctx: Context, *, rows: list[int]) -> Rows:
    """The prompts of these pairs, under other ids and in capitals."""
    pairs = preferences(N).to_pylist()
    talks = [
        [{**message, "content": message["content"].upper()} for message in pairs[row]["messages"]]
        for row in rows
    ]
    made = [
        {"prompt_id": f"h{n}", "messages": talk, "dataset": "d"} for n, talk in enumerate(talks)
    ]
    return Rows(made)


@pytest.fixture
def run(tmp_path):
    runtime = RuntimeConfig(device="cpu")
    loaded = LoadedModels("none", runtime)
    context = Context(Store(str(tmp_path / "store")), runtime, loaded)
    run = Run(context, Progress(quiet=True), "none", books=Books(kept=False))
    with run.active():
        yield run
    loaded.close()


def drawn(held_out=(), size=100, seed=0, rule="exact"):
    tables = [given_held_out(rows=list(held_out))] if held_out else []
    return draw_pairs(preferences=given_pairs(), held_out=tables, rule=rule, size=size, seed=seed)


def pair_ids(run, artifact):
    return run.context.store.table(artifact)["pair_id"].to_pylist()


def test_prompts_that_are_held_out_are_no_pairs(run):
    made = drawn(held_out=[0, 7])
    assert pair_ids(run, made) == [f"p{i}" for i in (1, 2, 3, 4, 5, 6)]
    assert made.meta == {"pairs": 6, "prompts": 6, "not_drawn": 0, "held_out": 0, "exact": 2}
    assert len(pair_ids(run, drawn(held_out=[0, 7], rule="none"))) == N  # in capitals: another text


def test_prompts_are_drawn_by_the_seed_with_all_their_pairs(run):
    found = [drawn(size=4, seed=seed) for seed in range(6)]
    for one in found:
        assert (one.meta["prompts"], one.meta["not_drawn"]) == (4, 4)
        ids = pair_ids(run, one)
        assert ("p7" in ids) == ("p8" in ids) and len(ids) == 4 + ("p8" in ids)
    assert len({tuple(pair_ids(run, one)) for one in found}) > 1
    assert pair_ids(run, drawn()) == [f"p{i}" for i in range(N)]


def test_without_a_pair_left_there_is_nothing_to_learn(run):
    with pytest.raises(InputError, match="all their prompts are held out too"):
        drawn(held_out=range(N))


def test_each_prompt_and_each_answer_is_there_once(run):
    pairs, store = given_pairs(), run.context.store
    asked = store.table(prompts_of(preferences=pairs))
    assert asked["prompt_id"].to_pylist() == [f"p{i}" for i in range(8)]
    chosen = store.table(answers_of(preferences=pairs, side="chosen")).to_pylist()
    assert [row["completion_id"] for row in chosen] == [f"p{i}-0" for i in range(8)]
    assert (chosen[0]["token_ids"], chosen[0]["n_tokens"]) == ([5, 6, 7], 3)
    assert chosen[1]["token_ids"] is None and chosen[1]["completion"].startswith("yes")
    rejected = store.table(answers_of(preferences=pairs, side="rejected")).to_pylist()
    assert [row["sample"] for row in rejected] == [0] * 8 + [1]
    assert rejected[8]["prompt_id"] == "p7" and rejected[8]["completion"].startswith("no")
