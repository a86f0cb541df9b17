"""What became of each source's prompts before the first round, from files to the ledger."""

import json

import pytest

from data.readers.seen import PromptTable
from data.recipes.prompts import PARTS, PromptsConfig
from data.recipes.recipe import RuntimeConfig
from data.store.store import Store
from flows.loop.inputs import own_prompts
from flows.loop.sources_told import blocks
from flows.loop.summary import sources
from flows.outside import prompts
from flows.preflight.prompts import check_prompts
from tasks.running.books import Books
from tasks.running.loaded import LoadedModels
from tasks.running.progress import Progress
from tasks.stage import Context, Run

LONG = "one two three four five six seven eight"
MINE = [
    "What is new?",
    f"Say {LONG} to me.",  # eight words in a row
    f"And {LONG}, please.",
    "WHY   is that?",  # but for case and white space
    "Where is it?",  # the text itself
    *(f"Number {i}?" for i in range(9)),
]
THEIRS = ["What is new?", "Only theirs?", "where IS it?"]
HELD = [f"Repeat {LONG}!", "Why is that?", "Where is it?"]


@pytest.fixture
def pool(tmp_path):
    """The pool of two sources, beside a file of test prompts and four dev prompts split off."""
    for name, texts in (("mine", MINE), ("theirs", THEIRS), ("held", HELD)):
        rows = (json.dumps({"prompt": text}) + "\n" for text in texts)
        (tmp_path / f"{name}.jsonl").write_text("".join(rows))
    paths = [{"path": str(tmp_path / f"{name}.jsonl")} for name in ("mine", "theirs")]
    held = str(tmp_path / "held.jsonl")
    config = PromptsConfig(path=paths, test_path=held, dev_size=4, per_round=2, max_tokens=64)
    runtime = RuntimeConfig(device="cpu")
    context = Context(Store(tmp_path / "store"), runtime, LoadedModels("none", runtime))
    run = Run(context, Progress(quiet=True), "none", books=Books(kept=False))
    run.outside = {
        field: prompts(field, one) for part in PARTS for field, one in config.sources(part).items()
    }
    with run.active():
        return own_prompts(run, config, 0)[0]


def test_every_prompt_of_every_source_is_counted_once(pool):
    mine, theirs = sources(pool)
    assert (mine.name, theirs.name) == ("mine", "theirs")
    assert (mine.prompts, mine.shared, mine.exact, mine.repeated) == (14, 2, 1, 0)
    assert (theirs.prompts, theirs.shared, theirs.exact, theirs.repeated) == (3, 0, 1, 1)
    assert mine.held_out + theirs.held_out == 1 + 4
    for one, source in zip((mine, theirs), pool, strict=True):
        left = one.held_out + one.exact + one.shared + one.repeated
        assert one.pool == source.prompts.rows == one.prompts - left


def test_the_ledger_begins_with_a_bar_for_each_source(pool):
    (block,) = blocks(sources(pool))
    first, second = block.levels
    assert (first.title, second.title) == ("prompts of mine", "prompts of theirs")
    for level in block.levels:
        assert level.parts[0].name == "to train on"
        assert sum(part.n for part in level.parts) == level.total
    assert (2, "share eight words in a row with one held out") in {
        (part.n, part.name) for part in first.parts
    }
    assert not [part for part in second.parts if "eight words" in part.name]


def test_the_embedded_worlds_prompts_have_no_bar():
    assert blocks([]) == []


def test_what_is_hardly_meant_is_noted_before_the_run(tmp_path):
    for name, texts in (("mine", MINE), ("held", HELD), ("dev", [*HELD[1:], "What else?"])):
        rows = (json.dumps({"prompt": text}) + "\n" for text in texts)
        (tmp_path / f"{name}.jsonl").write_text("".join(rows))
    mine, held, dev = (str(tmp_path / f"{name}.jsonl") for name in ("mine", "held", "dev"))
    config = PromptsConfig(path=[mine, mine], test_path=held, dev_path=dev, per_round=2)
    prompts = check_prompts(config, None, 1, 0)
    assert isinstance(prompts, PromptTable)
    twice, both = prompts.notes
    assert twice == (
        "prompts.path.1: none of its 14 prompts is left (14 are of an earlier source too)"
    )
    assert both.startswith("prompts.dev_path: 2 of its 3 prompts are test prompts too")
    apart = check_prompts(
        PromptsConfig(path=mine, test_path=held, per_round=2, dev_size=2), None, 1, 0
    )
    assert isinstance(apart, PromptTable) and not apart.notes
