"""Pairs from the model matrix, and what becomes of each when a judge corrects the order."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import CardinalityError
from data.ledger import Ledger, check_ledger
from data.matrix import by_axis
from data.recipes.asking import AskingConfig
from data.recipes.methods import CorrectionConfig, MatrixConfig, Place
from data.recipes.recipe import RuntimeConfig
from data.schemas import COMPLETIONS, PROMPTS
from data.store.digests import file_digest, tree_digest
from data.store.store import Store
from data.tables import write_table
from flows.judging import Speaker
from flows.judging import corrected as corrected_by
from models.judges.letters import log_odds
from models.judges.question import DEFAULT
from models.rewards import load_scorer
from tasks.matrix import correct as correct_stage
from tasks.matrix import correct_pairs, keep_order, pair_cells, pair_up, verdicts
from tasks.running.loaded import LoadedModels
from tasks.running.outside import External
from tasks.running.progress import Progress
from tasks.stage import Context, Run

PLACES = [
    Place(name="old", version=0, scale=7),
    Place(name="new", version=1, scale=7),
    Place(name="small", version=1, scale=1),
]
PROMPT_IDS = ["p", "q"]
PROMPT_TABLE = pa.Table.from_pylist(
    [
        {"prompt_id": i, "messages": [{"role": "user", "content": f"Why {i}?"}], "dataset": "d"}
        for i in PROMPT_IDS
    ],
    PROMPTS,
)


def matrix(**values):
    return MatrixConfig(
        cells=[{"name": place.name, "path": "answers.json"} for place in PLACES], **values
    )


def answers(cell, **by_prompt):
    """COMPLETIONS of a cell; an answer ends in "..." where it was cut off."""
    rows = [
        {
            "completion_id": f"{prompt}/{cell}/{sample}",
            "prompt_id": prompt,
            "sample": sample,
            "completion": text,
            "finish_reason": "length" if text.endswith("...") else "stop",
            "n_tokens": None,
            "token_ids": [7, sample],
        }
        for prompt, texts in by_prompt.items()
        for sample, text in enumerate(texts)
    ]
    return pa.Table.from_pylist(rows, COMPLETIONS)


def pair(tables, seed=0, drop_truncated=True, **values):
    return pair_cells(tables, PLACES, PROMPT_TABLE, matrix(**values), drop_truncated, seed, ["new"])


FULL = [answers(place.name, p=[f"{place.name} p"], q=[f"{place.name} q"]) for place in PLACES]


def models(mined, prompt=None):
    return [
        (row["best_model"], row["worst_model"], row["source"])
        for row in mined.to_pylist()
        if prompt in (None, row["prompt_id"])
    ]


def test_every_prompt_pairs_the_best_placed_answer_with_each_it_beats():
    mined, counts = pair(FULL)
    wanted = [("new", "old", "matrix:version"), ("new", "small", "matrix:scale")]
    assert models(mined, "p") == wanted and models(mined, "q") == wanted
    assert mined.to_pylist()[0] == {
        "prompt_id": "p",
        "source": "matrix:version",
        "best_model": "new",
        "worst_model": "old",
        "best_id": "p/new/0",
        "worst_id": "p/old/0",
        "best_completion": "new p",
        "worst_completion": "old p",
        "best_token_ids": [7, 0],
        "worst_token_ids": None,  # of another model than the policy, in a tokenizer of its own
        "best_reward": None,
        "worst_reward": None,
    }
    assert (counts["usable"], counts["paired"], counts["mined"]) == (6, 2, 4)


def test_a_cell_without_a_usable_answer_makes_no_pair():
    tables = [answers("old", p=["", "cut..."], q=["old"]), answers("new", p=["new"], q=["cut..."])]
    mined, counts = pair([*tables, answers("small", p=["small"], q=["small"])])
    assert models(mined, "p") == [("new", "small", "matrix:scale")]
    assert models(mined, "q") == []
    assert (counts["empty"], counts["truncated"]) == (1, 2)
    # To q answered two cells that the matrix does not compare.
    assert (counts["paired"], counts["tied"], counts["no_candidates"]) == (1, 1, 0)


def test_the_first_usable_answer_of_a_cell_is_its_answer():
    tables = [answers("old", p=["", "second", "third"]), answers("new", p=["new"])]
    mined, _ = pair([*tables, answers("small")])
    assert mined["worst_id"].to_pylist() == ["p/old/1"]


def test_a_text_that_two_cells_gave_belongs_to_the_better_placed():
    tables = [answers("old", p=["same"]), answers("new", p=["same"]), answers("small", p=["no"])]
    mined, counts = pair(tables)
    assert models(mined) == [("new", "small", "matrix:scale")]
    assert counts["duplicate"] == 1


def test_unanswered_prompts_are_counted_and_unasked_ones_refused():
    _, counts = pair([answers("old"), answers("new", p=["new"]), answers("small")])
    assert (counts["no_candidates"], counts["paired"]) == (2, 0)
    with pytest.raises(CardinalityError, match="'z'"):
        pair([answers("old", z=["?"]), answers("new"), answers("small")])


def test_an_id_that_two_cells_share_is_refused():
    with pytest.raises(CardinalityError, match="p/new/0"):
        pair([answers("new", p=["a"]), answers("new", p=["b"]), answers("small")])


def test_a_cap_draws_pairs_by_seed():
    drawn = {tuple(models(pair(FULL, seed, per_prompt=1)[0], "p")) for seed in range(20)}
    assert {pairs[0][1] for pairs in drawn} == {"old", "small"}
    assert all(len(pairs) == 1 for pairs in drawn)
    assert pair(FULL, 3, per_prompt=1)[0] == pair(FULL, 3, per_prompt=1)[0]
    assert models(pair(FULL, per_prompt=2)[0]) == models(pair(FULL)[0])


TEXTS = st.lists(st.sampled_from(["", " ", "a", "b", "c", "cut..."]), max_size=3)


@given(
    st.lists(st.tuples(TEXTS, TEXTS), min_size=3, max_size=3),
    st.booleans(),
    st.integers(0, 2),
    st.lists(st.none() | st.tuples(st.floats(-3, 3), st.floats(-3, 3)), min_size=6, max_size=6),
    st.builds(
        CorrectionConfig,
        on_reversed=st.sampled_from(["swap", "drop"]),
        on_unsure=st.sampled_from(["drop", "keep"]),
    ),
    st.floats(0, 2),
    st.booleans(),
)
def test_the_ledger_adds_up(texts, drop_truncated, cap, odds, config, min_margin, judged):
    tables = [answers(place.name, p=p, q=q) for place, (p, q) in zip(PLACES, texts, strict=True)]
    mined, found = pair(tables, drop_truncated=drop_truncated, per_prompt=cap, positives="any")
    given_odds = odds[: len(mined)] if judged else None
    table, fates = correct_pairs(mined, PROMPT_TABLE, given_odds, config, min_margin, 1)
    counts = found | fates
    asked = {"asked": 2, "generated": sum(map(len, tables)), "trained": counts["labelled"]}
    check_ledger(Ledger(**{n: (counts | asked).get(n, 0) for n in Ledger.model_fields}))
    assert len(table) == counts["labelled"] and len(mined) == counts["mined"]
    axes = by_axis(fates).values()
    for x in axes:
        said = (x[name] for name in ("agreed", "swapped", "tied", "inconsistent", "unjudged"))
        assert x["pairs"] == x["labelled"] + x["dropped"] == sum(said)
    for name in ("swapped", "labelled", "inconsistent"):
        assert sum(x[name] for x in axes) == counts[name]
    for row in table.to_pylist():
        assert row["margin"] is None or row["margin"] >= min_margin


@pytest.mark.parametrize(
    "odds, said",
    [
        ((2.0, 1.0), ("agreed", 1.5)),
        ((-2.0, -1.0), ("swapped", -1.5)),
        ((5.0, -4.0), ("inconsistent", None)),
        ((1.0, 0.0), ("inconsistent", None)),
        ((0.0, 0.0), ("teacher_tied", None)),
        (None, ("unjudged", None)),
    ],
)
def test_a_verdict_stands_in_both_orders_or_not_at_all(odds, said):
    found, margins = verdicts([odds])
    assert [name for name, pairs in found.items() if pairs[0]] == [said[0]]
    assert margins.tolist() == ([said[1]] if said[1] else pytest.approx([np.nan], nan_ok=True))


ONE = pair([FULL[0], FULL[1], answers("small")])[0].slice(0, 1)


def corrected(odds, min_margin=0.0, **config):
    table, _ = correct_pairs(
        ONE, PROMPT_TABLE, odds and [odds], CorrectionConfig(**config), min_margin, 2
    )
    keys = ("chosen_model", "rejected_model", "margin", "swapped")
    return [tuple(row[key] for key in keys) for row in table.to_pylist()]


def test_a_reversed_pair_is_swapped_or_dropped():
    assert corrected((-1.0, -3.0)) == [("old", "new", 2.0, True)]
    assert corrected((-1.0, -3.0), on_reversed="drop") == []


@pytest.mark.parametrize("odds", [(1.0, -1.0), (0.0, 0.0), (0.1, 0.3), (-0.1, -0.3)])
def test_an_unsure_pair_is_dropped_or_keeps_the_matrix_order_without_a_margin(odds):
    assert corrected(odds, min_margin=0.5) == []
    kept = corrected(odds, min_margin=0.5, on_unsure="keep")
    assert kept == [("new", "old", None, False)]


def test_what_the_judge_could_not_read_is_dropped_and_without_a_judge_all_is_kept():
    table, counts = correct_pairs(
        ONE, PROMPT_TABLE, [None], CorrectionConfig(on_unsure="keep"), 0.0, 1
    )
    assert len(table) == 0 and counts["unjudged"] == 1
    assert corrected(None) == [("new", "old", None, False)]


@pytest.fixture
def run(tmp_path):
    runtime = RuntimeConfig(device="cpu", shard_prompts=1)
    context = Context(Store(tmp_path / "store"), runtime, LoadedModels("none", runtime))
    with Run(context, Progress(quiet=True), "none").active() as run:
        yield run
    context.loaded.close()


@pytest.fixture
def put(run):
    """Artifacts of tables, as stages would have made them."""

    def make(kind, table, schema):
        def body(out):
            write_table(out / "data.parquet", table, schema)
            return {}

        key = {"stage": "test", "rows": table.to_pylist()}
        return run.context.store.put(kind, key, body)

    return make


@pytest.fixture
def made(run, put, prefect):
    prompts = put("prompts", PROMPT_TABLE, PROMPTS)
    mined = pair_up(
        prompts=prompts,
        completions=[put("completions", table, COMPLETIONS) for table in FULL],
        places=PLACES,
        own=[],
        config=matrix(),
        drop_truncated=True,
        seed=0,
    )
    return {"prompts": prompts, "mined": mined}


def judge(path):
    return External(path=str(path), digest=tree_digest(path))


def correct(run, made, model, **config):
    artifact = correct_stage(
        **made,
        judge=judge(model),
        config=CorrectionConfig(**config),
        min_margin=0.0,
        round_number=1,
        max_length=200,
    )
    return artifact.meta, run.context.store.table(artifact).to_pylist()


def test_pairs_without_a_judge_keep_their_order(run, made):
    artifact = keep_order(**made, round_number=1)
    rows = run.context.store.table(artifact).to_pylist()
    assert {(row["chosen_model"], row["margin"], row["swapped"]) for row in rows} == {
        ("new", None, False)
    }
    assert artifact.meta["kept_unsure"] == artifact.meta["unjudged"] == len(rows) == 4
    assert len({row["pair_id"] for row in rows}) == 4


def test_a_reward_model_reads_every_answer_once_and_the_order_is_its_own(
    run, made, bert_reward_dir
):
    meta, rows = correct(run, made, bert_reward_dir)
    assert meta["teacher_calls"] == 6  # of two prompts, three answers each
    scorer = load_scorer(bert_reward_dir, run.context.runtime, 200)
    for row in rows:
        chosen, rejected = scorer.score(
            [(row["messages"], row[side]) for side in ("chosen", "rejected")]
        )
        assert row["margin"] == pytest.approx(chosen - rejected, rel=1e-4) and chosen > rejected
    assert meta["agreed"] + meta["swapped"] == len(rows) == 4
    assert {way: x["pairs"] for way, x in by_axis(meta).items()} == {"version": 2, "scale": 2}


def test_a_language_model_is_asked_in_both_orders(run, made, judge_dir):
    wording = External(path=str(DEFAULT), digest=file_digest(DEFAULT))
    config = CorrectionConfig()
    speaker = Speaker(judge(judge_dir), AskingConfig(), wording)
    artifact = corrected_by(
        speaker, **made, config=config, min_margin=0.0, round_number=1, max_length=200
    )
    meta, rows = artifact.meta, run.context.store.table(artifact).to_pylist()
    assert meta["teacher_calls"] == 4  # pairs, each in both orders
    mined = run.context.store.table(made["mined"]).to_pylist()
    text = {row["prompt_id"]: row["messages"] for row in PROMPT_TABLE.to_pylist()}
    odds, _ = log_odds(
        judge_dir,
        [(text[r["prompt_id"]], r["best_completion"], r["worst_completion"]) for r in mined],
        runtime=run.context.runtime,
    )
    steady = (odds > 0).all(axis=1) | (odds < 0).all(axis=1)
    assert meta["inconsistent"] == (~steady).sum()
    np.testing.assert_allclose(
        [row["margin"] for row in rows], np.abs(odds[steady].mean(axis=1)), rtol=1e-4
    )
