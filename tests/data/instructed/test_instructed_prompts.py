"""Generated prompts: each can be followed, none contradicts itself, parts are disjoint."""

import gzip
import json
import re
from hashlib import sha256
from itertools import combinations
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.instructed.content import ENDINGS, UNWANTED
from data.instructed.everyday import tasks
from data.instructed.form import FIRST_WORDS, MARKS
from data.instructed.kinds import HELD_OUT, KINDS, TRAINED, go_together
from data.instructed.prompts import EVERYDAY, UNSEEN, draw, draw_instructions, write
from data.readers.prompts import read_prompts
from tests.repository import ROOT

IFEVAL = ROOT.parent / "shared/realdata/ifeval/input_data.jsonl.gz"
# Without an unwanted word or a letter that may have to be rare; long enough to be told for English.
FILLER = "The man and his son are at the station to meet their old aunt at three"
SHORT = "The man is at the station"


def an_answer(kinds, kwargs):
    """An answer that follows instructions, put together from what each asks for."""
    asked = dict(zip(kinds, kwargs, strict=True))

    def of(kind, name, default=0):
        return asked.get(kind, {}).get(name, default)

    words = list(of("keywords:existence", "keywords", ()))
    if of("keywords:frequency", "relation") == "at least":
        words += [of("keywords:frequency", "keyword")] * of("keywords:frequency", "frequency")
    if of("change_case:capital_word_frequency", "capital_relation") == "at least":
        words += ["STONE"] * of("change_case:capital_word_frequency", "capital_frequency")
    words += ["[name]"] * of("detectable_content:number_placeholders", "num_placeholders")
    words += ["*tin*"] * of("detectable_format:number_highlighted_sections", "num_highlights")
    long = of("length_constraints:number_words", "relation") == "at least"
    length = of("length_constraints:number_words", "num_words") if long else 0
    if of("keywords:letter_frequency", "let_relation") == "at least":
        length += 6 * of("keywords:letter_frequency", "let_frequency")
    words += FILLER.lower().split() * (length // 15)
    sentences = [f"{FILLER} {' '.join(words)}."]
    if of("length_constraints:number_sentences", "relation") == "at least":
        sentences += [f"{SHORT}."] * of("length_constraints:number_sentences", "num_sentences")
    text = " ".join(sentences)
    if n := of("detectable_format:number_bullet_lists", "num_bullets"):
        text += "".join("\n* The sea" for _ in range(n))
    if n := of("length_constraints:number_paragraphs", "num_paragraphs"):
        text += f"\n***\n{SHORT}." * (n - 1)
    if n := of("length_constraints:nth_paragraph_first_word", "num_paragraphs"):
        parts = [text] + [f"{SHORT}."] * (n - 1)
        at = of("length_constraints:nth_paragraph_first_word", "nth_paragraph") - 1
        first = of("length_constraints:nth_paragraph_first_word", "first_word").title()
        parts[at] = f"{first} {parts[at]}"
        text = "\n\n".join(parts)
    if n := of("detectable_format:multiple_sections", "num_sections"):
        mark = of("detectable_format:multiple_sections", "section_spliter")
        heads = [f"{mark} {number}\n{SHORT}." for number in range(2, n + 1)]
        text = "\n".join([f"{mark} 1\n{text}", *heads])
    if "detectable_format:title" in asked:
        text = f"<<Tin>>\n{text}"
    if "combination:two_responses" in asked:
        text += f"\n******\n{text} {SHORT}."
    if "combination:repeat_prompt" in asked:
        text = f"{of('combination:repeat_prompt', 'prompt_to_repeat')}\n{text}"
    if mark := of("detectable_content:postscript", "postscript_marker"):
        text += f"\n{mark} {SHORT}"
    if phrase := of("startend:end_checker", "end_phrase"):
        text += f"\n{phrase}"
    if "startend:quotation" in asked:
        text = f'"{text}"'
    if "detectable_format:json_format" in asked:
        text = json.dumps({"answer": text})
    if "change_case:english_lowercase" in asked:
        text = text.lower()
    return text.upper() if "change_case:english_capital" in asked else text


def check_followed(task, kinds, kwargs):
    pytest.importorskip("if_verifiable", reason="needs the extra `real`")
    from data.instructed.checkers import followed

    found = followed(task, an_answer(kinds, kwargs), kinds, kwargs)
    assert found == [True] * len(kinds), (kinds, kwargs, an_answer(kinds, kwargs))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**9), part=st.sampled_from(["train", "dev", "test"]))
def test_every_prompt_can_be_followed_in_full(seed, part):
    for row in draw(seed, part, 12):
        check_followed(row["prompt"], row["instruction_id_list"], row["kwargs"])


PAIRS = [pair for pair in combinations(KINDS, 2) if go_together(*pair)]


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 10**9), pair=st.sampled_from(PAIRS), swapped=st.booleans())
def test_kinds_that_go_together_can_be_followed_together(seed, pair, swapped):
    """Whatever is drawn, held-out kinds beside trained ones too."""
    kinds, rng = list(reversed(pair) if swapped else pair), Random(seed)
    family = rng.choice(tasks(test=rng.random() < 0.5))
    task = rng.choice(family)
    drawn = draw_instructions(rng, task, kinds)
    check_followed(task, kinds, [one.kwargs for one in drawn])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_parts_have_their_own_tasks_and_kinds(seed):
    train, dev, test = (draw(seed, part, 60) for part in ("train", "dev", "test"))
    for row in (*train, *dev):
        assert row["dataset"] == EVERYDAY
        assert set(row["instruction_id_list"]) <= set(TRAINED)
    for row in test:
        wanted = HELD_OUT if row["dataset"] == UNSEEN else TRAINED
        assert set(row["instruction_id_list"]) <= set(wanted)
    assert {row["dataset"] for row in test} == {EVERYDAY, UNSEEN}
    prompts = [row["prompt"] for row in (*train, *dev, *test)]
    assert len(set(prompts)) == len(prompts)
    of_train, of_dev = ({_task(row) for row in rows} for rows in (train, dev))
    assert not of_train & of_dev


def _task(row):
    sentence = re.match(r"[^.?]*[.?]", row["prompt"])
    return sentence and sentence.group()


def test_tasks_to_train_on_and_to_test_share_no_topic():
    trained, tested = ({one for family in tasks(x) for one in family} for x in (False, True))
    assert len(trained) > 3000 and len(tested) > 500
    assert not trained & tested
    # One sentence, as it may have to be repeated; no comma, as that may be forbidden beside it.
    for task in trained | tested:
        assert re.fullmatch(r"[A-Z][^.?,\n]*[.?]", task), task


def test_no_phrase_has_a_word_that_may_be_forbidden_beside_it():
    for phrase in (*ENDINGS, *FIRST_WORDS, *MARKS):
        assert not [word for word in UNWANTED if word in phrase.lower()], phrase


def test_a_quarter_of_the_kinds_is_held_out():
    assert set(HELD_OUT) < set(KINDS)
    assert len(HELD_OUT) * 4 >= len(KINDS)
    assert sorted([*HELD_OUT, *TRAINED]) == sorted(KINDS)
    for kind in HELD_OUT:  # so that prompts of several can be made
        assert any(go_together(kind, other) for other in HELD_OUT)


def test_the_files_are_the_same_everywhere_and_are_prompt_files(tmp_path):
    sizes = {"train": 50, "dev": 10, "test": 30}
    written = write(tmp_path / "a", 0, sizes)
    assert {path.name: count for path, count in written.items()} == {
        "train.jsonl": 50,
        "dev.jsonl": 10,
        "test.jsonl": 30,
    }
    for path in written:
        _, counts = read_prompts(path)
        assert counts["duplicate"] == 0
    whole = b"".join(path.read_bytes() for path in written)
    assert sha256(whole).hexdigest()[:16] == "6ea034f8449a06bc"
    write(tmp_path / "b", 1, sizes)
    assert (tmp_path / "b/train.jsonl").read_bytes() != (tmp_path / "a/train.jsonl").read_bytes()


@pytest.mark.skipif(not IFEVAL.exists(), reason="needs IFEval's prompts in ../shared/realdata")
def test_no_prompt_shares_eight_words_in_a_row_with_ifeval():
    def grams(text):
        words = re.findall(r"\w+", text.lower())
        return {tuple(words[at : at + 8]) for at in range(len(words) - 7)}

    with gzip.open(IFEVAL, "rt") as lines:
        theirs = set().union(*(grams(json.loads(line)["prompt"]) for line in lines))
    for part, size in (("train", 4000), ("dev", 200), ("test", 600)):
        for row in draw(0, part, size):
            assert not grams(row["prompt"]) & theirs, row["prompt"]
