import gzip
import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import InputError
from data.readers.logged import (
    held_out_split,
    logged_digest,
    read_logged,
    read_picks,
)
from data.recipes.recipe import LoggedConfig
from data.schemas import COMPLETIONS, JUDGMENTS, PROMPTS
from data.tables import index_by, mapping
from flows.recipe_files import load_recipe
from tests.repository import ROOT


def write(path, rows):
    text = (
        json.dumps(rows)
        if ".json." in path.name or path.suffix == ".json"
        else "\n".join(json.dumps(row) for row in rows)
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def answers(prompt, texts, **extra):
    return [{"prompt": prompt, "completion": text} | extra for text in texts]


def by_text(logged):
    """{prompt text: {completion: reward}}, judged ones only."""
    prompt = {row["prompt_id"]: row["messages"][0]["content"] for row in logged.prompts.to_pylist()}
    rewards = mapping(logged.judgments, "completion_id", "reward")
    found = {text: {} for text in prompt.values()}
    for row in logged.completions.to_pylist():
        if row["completion_id"] in rewards:
            found[prompt[row["prompt_id"]]][row["completion"]] = rewards[row["completion_id"]]
    return found


def test_rows_with_rewards_become_the_three_tables(tmp_path):
    rows = answers("a", ["x", "yy"], reward=0.5) + answers("b", ["z"], finish_reason="length")
    logged = read_logged(LoggedConfig(completions=str(write(tmp_path / "mine.jsonl", rows))))
    assert (logged.prompts.schema, logged.completions.schema) == (PROMPTS, COMPLETIONS)
    assert logged.judgments.schema == JUDGMENTS
    assert logged.prompts["dataset"].to_pylist() == ["mine", "mine"]
    assert by_text(logged) == {"a": {"x": 0.5, "yy": 0.5}, "b": {}}
    finish = mapping(logged.completions, "completion", "finish_reason")
    assert finish == {"x": "stop", "yy": "stop", "z": "length"}
    assert set(logged.judgments["judge"].to_pylist()) == {"recorded"}
    assert logged.counts["judged"] == 2


def test_field_names_can_be_the_users_own(tmp_path):
    rows = [{"q": "a", "answer": "x", "score": 1, "n": 0}, {"q": "a", "answer": "y", "n": 1}]
    config = LoggedConfig(
        completions=str(write(tmp_path / "c.jsonl", rows)),
        fields={"prompt": "q", "completion": "answer", "reward": "score", "sample": "n"},
    )
    assert by_text(read_logged(config)) == {"a": {"x": 1.0}}


def test_judgments_in_files_of_their_own_find_their_completions(tmp_path):
    write(tmp_path / "out/1.jsonl", answers("a", ["x", "y", "x"]))
    judgments = [
        {"prompt": "a", "completion": "x", "reward": 0.25},  # both completions with that text
        {"prompt": "a", "sample": 1, "reward": 1.0},
        {"prompt": "a", "sample": 1, "reward": 0.5},  # a second annotator
        {"prompt": "a", "sample": 0, "reward": None},
        {"prompt": "a", "completion": "unknown", "reward": 1.0},
        {"prompt": "unknown", "sample": 0, "reward": 1.0},
    ]
    write(tmp_path / "judged/1.jsonl", judgments)
    config = LoggedConfig(
        completions=str(tmp_path / "out"), judgments=[str(tmp_path / "judged/*.jsonl")], judge="gpt"
    )
    logged = read_logged(config)
    assert mapping(logged.judgments, "completion_id", "reward") == {
        f"{logged.prompts['prompt_id'][0]}-{sample}": reward
        for sample, reward in enumerate([0.25, 0.75, 0.25])
    }
    assert logged.counts == {
        "judgments": 6,
        "used": 3,
        "no_preference": 1,
        "unmatched": 2,
        "prompts": 1,
        "completions": 3,
        "judged": 3,
    }
    assert set(logged.judgments["judge"].to_pylist()) == {"gpt"}


def outputs(generator, pairs):
    return [{"instruction": p, "output": o, "generator": generator} for p, o in pairs]


def annotation(side, generator, text, preference, instruction="a"):
    other = "12"[side == "1"]
    return {
        "instruction": instruction,
        f"generator_{side}": generator,
        f"output_{side}": text,
        f"generator_{other}": "reference",
        f"output_{other}": "ref",
        "preference": preference,
        "annotator": "gpt4",
    }


@pytest.fixture
def alpaca(tmp_path):
    def config(judgments):
        for number in (10, 2):
            rows = outputs(f"m.{number}", [("a", f"a{number}"), ("b", f"b{number}")])
            write(tmp_path / f"samples/m.{number}.json.gz", rows)
        write(tmp_path / "judged/j.json", judgments)
        return LoggedConfig(
            format="alpaca_eval",
            completions=str(tmp_path / "samples"),
            judgments=str(tmp_path / "judged"),
        )

    return config


def test_a_preference_counts_for_the_side_the_sample_is_on(alpaca):
    judged = [annotation("2", "m.2", "a2", 1.9), annotation("1", "m.10", "a10", 1.9)]
    logged = read_logged(alpaca(judged))
    assert by_text(logged)["a"] == pytest.approx({"a2": 0.9, "a10": 0.1})
    assert set(logged.judgments["judge"].to_pylist()) == {"gpt4"}
    ids = mapping(logged.completions, "completion", "completion_id")
    # Numbered as people count: m.2 before m.10.
    assert [ids[text].rpartition("-")[2] for text in ("a2", "a10")] == ["0", "1"]


@pytest.mark.parametrize("draw", [0, 0.0, "0", 1.5])
def test_a_draw_is_written_in_two_ways(alpaca, draw):
    logged = read_logged(alpaca([annotation("2", "m.2", "a2", draw)]))
    assert by_text(logged)["a"] == {"a2": 0.5}


def test_judgments_of_nobody_here_or_without_preference_are_counted(alpaca):
    judged = [
        annotation("2", "m.2", "a2", 1.5),
        annotation("2", "m.3", "a3", 1.5),
        annotation("2", "m.10", "a10", None),
    ]
    counts = read_logged(alpaca(judged)).counts
    assert (counts["used"], counts["unmatched"], counts["no_preference"]) == (1, 1, 1)


BAD_JUDGMENTS = {
    "judges another text than sample m.2 has": annotation("2", "m.2", "other", 1.5),
    "preference must lie between 1 and 2 or be 0 for a draw, got 0.5": annotation(
        "2", "m.2", "a2", 0.5
    ),
    "for a draw, got 3": annotation("2", "m.2", "a2", 3),
    "preference must be a finite number, got 'yes'": annotation("2", "m.2", "a2", "yes"),
    "both outputs are samples": annotation("2", "m.2", "a2", 1.5) | {"generator_1": "m.10"},
    "generator_2 must be text": annotation("2", None, "a2", 1.5),
    "none belongs to a completion": annotation("2", "m.2", "a2", 1.5, instruction="z"),
}


@pytest.mark.parametrize(("words", "bad"), BAD_JUDGMENTS.items(), ids=BAD_JUDGMENTS.keys())
def test_a_judgment_that_cannot_be_used_is_refused(alpaca, words, bad):
    with pytest.raises(InputError) as error:
        read_logged(alpaca([bad]))
    assert words in str(error.value)


ANSWER = {"prompt": "a", "completion": "x"}
BAD_COMPLETIONS = {
    "prompt must be text or a list of messages": {"completion": "x"},
    "completion must be text, got NoneType": {"prompt": "a"},
    "completion holds a lone surrogate": {"prompt": "a", "completion": "\ud800"},
    "reward must be a finite number, got 'high'": ANSWER | {"reward": "high"},
    "reward must be a finite number, got 'True'": ANSWER | {"reward": True},
    "reward must be a finite number, got '1e999'": ANSWER | {"reward": "1e999"},
    "sample must be a whole number from 0, got '-1'": ANSWER | {"sample": -1},
    "sample must be a whole number from 0, got '1.0'": ANSWER | {"sample": 1.0},
    "sample 0 is there twice": {"prompt": "good", "completion": "x", "sample": 0},
    "finish_reason must be 'stop' or 'length'": ANSWER | {"finish_reason": "eos"},
}


@pytest.mark.parametrize(("words", "bad"), BAD_COMPLETIONS.items(), ids=BAD_COMPLETIONS.keys())
def test_a_completion_that_cannot_be_used_is_refused_with_its_line(tmp_path, words, bad):
    good = {"prompt": "good", "completion": "x", "reward": 1, "sample": 0}
    config = LoggedConfig(completions=str(write(tmp_path / "c.jsonl", [good, bad])))
    with pytest.raises(InputError) as error:
        read_logged(config)
    assert "c.jsonl line 2: " in str(error.value)
    assert words in str(error.value)


def test_paths_that_hold_nothing_are_refused(tmp_path):
    missing = {"none.jsonl": "does not exist"}  # the others name what is there or would match
    for name in ("none.jsonl", "*.jsonl", "", str(tmp_path)):
        words = missing.get(name, "holds no .jsonl")
        with pytest.raises(InputError, match=f"logged.completions: .* {words}"):
            read_logged(LoggedConfig(completions=[str(tmp_path / name)]))
    empty = write(tmp_path / "c.jsonl", [])
    with pytest.raises(InputError, match="hold no rows"):
        read_logged(LoggedConfig(completions=str(empty)))
    unjudged = write(tmp_path / "c.jsonl", answers("a", ["x"]))
    with pytest.raises(InputError, match="none belongs to a completion"):
        read_logged(LoggedConfig(completions=str(unjudged)))


@given(st.binary(max_size=200), st.sampled_from(["rows", "alpaca_eval"]))
def test_any_bytes_are_refused_as_input(tmp_path_factory, data, layout):
    path = tmp_path_factory.mktemp("fuzz") / "c.jsonl"
    path.write_bytes(data)
    with pytest.raises(InputError):
        read_logged(LoggedConfig(completions=str(path), format=layout))


FIELDS = [
    "prompt",
    "completion",
    "sample",
    "reward",
    "instruction",
    "output",
    "generator",
    "generator_1",
    "generator_2",
    "output_1",
    "output_2",
    "preference",
    "dataset",
]
FIELD_VALUES = (
    st.sampled_from(["a", "b", "", 0, 1, 2, 1.5, None, True, "1", [], {}])
    | st.text(st.characters(), max_size=2)
    | st.floats()
)
ROWS = st.lists(st.dictionaries(st.sampled_from(FIELDS), FIELD_VALUES, min_size=5), max_size=4)


@given(ROWS, ROWS, st.sampled_from(["rows", "alpaca_eval"]))
def test_any_rows_are_tables_or_an_input_error(tmp_path_factory, rows, judged, layout):
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "c.json").write_text(json.dumps(rows))
    (folder / "j.json").write_text(json.dumps(judged))
    config = LoggedConfig(
        completions=str(folder / "c.json"), judgments=str(folder / "j.json"), format=layout
    )
    try:
        logged = read_logged(config)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert set(index_by(logged.judgments, "completion_id")) <= set(
            index_by(logged.completions, "completion_id")
        )


def test_the_order_of_samples_is_random_by_seed_and_the_ids_are_not(tmp_path):
    path = write(tmp_path / "c.jsonl", answers("a", ["x" * n for n in range(1, 40)], reward=1))

    def order(seed):
        logged = read_logged(LoggedConfig(completions=str(path), seed=seed))
        rows = sorted(logged.completions.to_pylist(), key=lambda row: row["sample"])
        assert [row["sample"] for row in rows] == list(range(39))
        assert all(f"-{len(row['completion']) - 1}" in row["completion_id"] for row in rows)
        return [len(row["completion"]) for row in rows]

    assert order(0) == order(0) != order(1)
    assert order(0) != sorted(order(0))


def test_the_digest_follows_names_and_bytes_of_the_files(tmp_path):
    config = LoggedConfig(completions=str(tmp_path / "*.jsonl"))
    write(tmp_path / "c.jsonl", answers("a", ["x"], reward=1))
    before = logged_digest(config)
    assert logged_digest(config) == before
    write(tmp_path / "c.jsonl", answers("a", ["x"], reward=2))
    assert logged_digest(config) != before


def asked(prompts):
    """PROMPTS of (text, data set), the text also their id."""
    rows = [
        {"prompt_id": text, "messages": [{"role": "user", "content": text}], "dataset": dataset}
        for text, dataset in prompts
    ]
    return pa.Table.from_pylist(rows, schema=PROMPTS)


def test_prompts_that_differ_in_white_space_alone_are_held_out_together():
    twins = [(f"q{i}{end}", "xy"[end == " "]) for i in range(40) for end in ("", "\n", " ")]
    parts = [
        {text.strip() for text in part["prompt_id"].to_pylist()}
        for part in held_out_split(asked(twins), 0.25, seed=0)
    ]
    assert parts[0] and parts[1] and parts[0].isdisjoint(parts[1])


def test_held_out_prompts_are_a_share_of_every_dataset_wherever_they_stand():
    prompts = asked([(f"{d}{i}", d) for d in "xy" for i in range(40)])
    train, held_out = held_out_split(prompts, 0.25, seed=0)
    assert held_out["dataset"].to_pylist().count("x") == 10
    assert held_out["dataset"].to_pylist().count("y") == 10
    ids = set(held_out["prompt_id"].to_pylist())
    assert ids.isdisjoint(train["prompt_id"].to_pylist())
    assert len(train) + len(held_out) == 80
    backwards = held_out_split(prompts.take(pa.array(range(79, -1, -1))), 0.25, seed=0)[1]
    assert set(backwards["prompt_id"].to_pylist()) == ids
    assert set(held_out_split(prompts, 0.25, seed=1)[1]["prompt_id"].to_pylist()) != ids


def test_data_sets_of_one_prompt_each_are_split_together():
    prompts = asked([(str(i), str(i)) for i in range(40)] + [(f"x{i}", "x") for i in range(20)])
    for share in (0.25, 0.75):
        train, held_out = held_out_split(prompts, share, seed=0)
        assert held_out["dataset"].to_pylist().count("x") == 20 * share
        assert (len(train), len(held_out)) == (60 - 60 * share, 60 * share)


def test_the_recipe_for_logged_completions_loads():
    recipe = load_recipe(ROOT / "recipes/logged.yaml")
    assert recipe.logged.format == "alpaca_eval"


def test_a_pick_is_found_by_its_text_and_named_by_its_file(tmp_path):
    rows = answers("a", ["x", "yy", "x"], reward=0.5) + answers("b", ["z"], reward=0.1)
    write(tmp_path / "rows" / "mine.jsonl", rows)
    picks = [*answers("a", ["x"]), *answers("b", ["other"]), *answers("c", ["x"])]
    write(tmp_path / "picks" / "scorer-1.5b.jsonl.gz", picks)
    config = LoggedConfig(completions=str(tmp_path / "rows"), picks=str(tmp_path / "picks"))
    logged = read_logged(config)
    table, counts = read_picks(config, logged.completions)
    first = min(
        row["completion_id"] for row in logged.completions.to_pylist() if row["completion"] == "x"
    )
    assert [(r["picker"], r["completion_id"]) for r in table.to_pylist()] == [
        ("scorer-1.5b", first)
    ]
    assert counts == {"picks": 3, "unmatched": 2}
    without = config.model_copy(update={"picks": None})
    assert logged_digest(config) != logged_digest(without)
    write(tmp_path / "picks" / "scorer-1.5b.jsonl.gz", answers("c", ["x"]))
    with pytest.raises(InputError, match=r"logged\.picks: none is the text of a completion"):
        read_picks(config, logged.completions)
