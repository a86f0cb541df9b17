"""IFEval's checkers offline, the reward function of them, and a score known from elsewhere."""

import gzip
import json
import math
import sys
import tomllib
from collections import defaultdict

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.errors import InputError
from data.instructed.checkers import PACKAGES, checkers, followed
from data.instructed.kinds import KINDS
from data.instructed.score import compared
from data.reward_functions.instructions import instructions, penalty
from tests.repository import ROOT

IFEVAL = ROOT.parent / "shared/realdata/ifeval"
needed = pytest.mark.usefixtures("installed")
TEXT = "We met at the old bridge and walked home."

# kind -> arguments, an answer that follows it, one that does not
EXAMPLES = {
    "punctuation:no_comma": ({}, "We met and walked home.", "We met, and walked home."),
    "change_case:english_lowercase": ({}, "we met at the old bridge.", TEXT),
    "change_case:english_capital": ({}, TEXT.upper(), TEXT),
    "change_case:capital_word_frequency": (
        {"capital_relation": "at least", "capital_frequency": 2},
        "We met at the OLD bridge and WALKED home.",
        "We met at the OLD bridge and walked home.",
    ),
    "detectable_format:number_bullet_lists": (
        {"num_bullets": 2},
        "Bring:\n* bread\n- a lamp",
        "Bring:\n* bread\n* a lamp\n* water",
    ),
    "detectable_format:number_highlighted_sections": (
        {"num_highlights": 2},
        "Bring *bread* and *a lamp*.",
        "Bring *bread* and a lamp.",
    ),
    "detectable_format:multiple_sections": (
        {"section_spliter": "Part", "num_sections": 2},
        "Part 1\nWe met.\nPart 2\nWe walked home.",
        "Part one\nWe met.\nPart two\nWe walked home.",
    ),
    "detectable_format:title": ({}, f"<<The bridge>>\n{TEXT}", f"<The bridge>\n{TEXT}"),
    "detectable_format:json_format": ({}, '```json\n{"a": 1}\n```', '{"a": 1'),
    "detectable_format:constrained_response": ({}, "My answer is yes.", "Yes."),
    "detectable_content:number_placeholders": (
        {"num_placeholders": 2},
        "Dear [name], come at [time].",
        "Dear [name], come at (time).",
    ),
    "detectable_content:postscript": (
        {"postscript_marker": "P.S."},
        f"{TEXT}\nP.S. Bring bread.",
        f"{TEXT}\nBring bread.",
    ),
    "startend:end_checker": (
        {"end_phrase": "See you next week."},
        f"{TEXT} See you next week.",
        f"See you next week. {TEXT}",
    ),
    "startend:quotation": ({}, f'"{TEXT}"', f'"{TEXT}'),
    "keywords:existence": ({"keywords": ["bridge", "home"]}, TEXT, "We met at the old bridge."),
    "keywords:frequency": (
        {"relation": "at least", "keyword": "bridge", "frequency": 2},
        f"{TEXT} The bridge is long.",
        TEXT,
    ),
    "keywords:forbidden_words": ({"forbidden_words": ["river"]}, TEXT, "We met at the river."),
    "keywords:letter_frequency": (
        {"let_relation": "less than", "letter": "z", "let_frequency": 2},
        TEXT,
        "A dizzy lizard.",
    ),
    "language:response_language": (
        {"language": "es"},
        "Nos encontramos en el puente viejo y caminamos a casa.",
        TEXT,
    ),
    "length_constraints:number_words": (
        {"relation": "less than", "num_words": 10},
        TEXT,
        f"{TEXT} {TEXT}",
    ),
    "length_constraints:number_sentences": (
        {"relation": "at least", "num_sentences": 2},
        f"{TEXT} Mr. Hill came too.",
        "We met Mr. Hill and Dr. Wood at the old bridge.",  # which only its model tells
    ),
    "length_constraints:number_paragraphs": (
        {"num_paragraphs": 2},
        f"{TEXT}\n***\n{TEXT}",
        f"{TEXT}\n\n{TEXT}",
    ),
    "length_constraints:nth_paragraph_first_word": (
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "later"},
        f"{TEXT}\n\nLater we ate.",
        f"Later we ate.\n\n{TEXT}",
    ),
    "combination:two_responses": ({}, f"{TEXT}\n******\nWe ate.", f"{TEXT}\n******\n{TEXT}"),
    "combination:repeat_prompt": (
        {"prompt_to_repeat": "Tell me about a walk."},
        f"Tell me about a walk. {TEXT}",
        TEXT,
    ),
}


@pytest.fixture
def installed():
    pytest.importorskip("if_verifiable", reason="needs the extra `real`")


@needed
@pytest.mark.parametrize("kind", EXAMPLES)
def test_a_good_answer_passes_and_a_bad_one_fails(kind):
    arguments, good, bad = EXAMPLES[kind]
    assert followed("Tell me about a walk.", good, [kind], [arguments]) == [True]
    assert followed("Tell me about a walk.", bad, [kind], [arguments]) == [False]
    assert followed("Tell me about a walk.", " \n", [kind], [arguments]) == [False]


@needed
def test_every_kind_of_ifeval_is_checked():
    assert set(EXAMPLES) == set(checkers()) > set(KINDS)


@needed
def test_nulls_that_a_table_fills_in_are_no_arguments():
    arguments = {"num_words": 10, "relation": "less than", "keywords": None, "language": None}
    assert followed("", TEXT, ["length_constraints:number_words"], [arguments]) == [True]
    assert followed("", TEXT, ["punctuation:no_comma"], [None]) == [True]


@needed
def test_an_unknown_kind_is_none_and_lists_of_two_lengths_are_refused():
    assert followed("", TEXT, ["emoji:none", "punctuation:no_comma"], [{}, {}]) == [None, True]
    with pytest.raises(InputError, match="1 entries for 2 instructions"):
        followed("", TEXT, ["punctuation:no_comma", "startend:quotation"], [{}])


@needed
def test_short_texts_are_told_apart_alike_every_time():
    """langdetect draws: without a seed, "ja nein" is one language now and another then."""
    text = "Hello Anna, ja nein."
    kind, arguments = ["language:response_language"], [{"language": "en"}]
    assert len({tuple(followed("", text, kind, arguments)) for _ in range(20)}) == 1


def rewards(answers, kinds, arguments):
    prompts = [[{"role": "user", "content": "Tell me about a walk."}]] * len(answers)
    said = [[{"role": "assistant", "content": answer}] for answer in answers]
    return instructions(
        prompts,
        said,
        instruction_id_list=[kinds] * len(answers),
        kwargs=[arguments] * len(answers),
    )


LONG = (
    "We met at the old bridge in the rain and walked home along the quiet street until the lamps "
    "went out one after the other."
)


@needed
def test_the_reward_is_the_share_of_instructions_followed():
    kinds = ["punctuation:no_comma", "startend:quotation"]
    assert rewards([LONG, f'"{LONG}"', f"Well, {LONG}"], kinds, [{}, {}]) == [0.5, 1.0, 0.0]


@needed
def test_degenerate_answers_get_less():
    kinds, arguments = ["punctuation:no_comma"], [{}]
    loop = "on and on " * 30
    assert rewards(["", "No.", LONG], kinds, arguments) == [0.0, 0.0, 1.0]
    assert rewards([loop], kinds, arguments)[0] == pytest.approx(1 - penalty(loop))
    assert 0.28 < penalty(loop) <= 0.3  # 84 of 87 four-word sequences have come before
    assert penalty("My answer is yes.") == pytest.approx(0.3 * 16 / 20)
    assert penalty(LONG) == 0


@needed
def test_rows_that_do_not_apply_and_rows_that_fail():
    assert rewards([LONG], None, None) == [None]
    assert rewards([LONG], ["emoji:none"], [{}]) == [None]
    assert rewards([LONG], ["emoji:none", "punctuation:no_comma"], [{}, {}]) == [1.0]
    # A keyword is searched for as a regular expression.
    assert math.isnan(rewards([LONG], ["keywords:existence"], [{"keywords": ["("]}])[0])


def test_without_the_packages_one_line_says_what_to_install(monkeypatch):
    checkers.cache_clear()
    monkeypatch.setitem(sys.modules, "langdetect", None)
    with pytest.raises(InputError) as refused:
        rewards([LONG], ["punctuation:no_comma"], [{}])
    checkers.cache_clear()
    said = str(refused.value)
    assert "\n" not in said and said.startswith("instructions: the checkers are not installed")
    assert said.endswith(f"pip install --no-deps {' '.join(PACKAGES.values())}")


def test_the_extra_pins_the_same_packages():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(PACKAGES.values()) <= set(extras["optional-dependencies"]["real"])


@needed
@pytest.mark.skipif(not IFEVAL.is_dir(), reason="needs IFEval's data in ../shared/realdata")
def test_gpt4s_recorded_answers_score_as_published():
    """Published: 76.89 % of the prompts and 83.57 % of the instructions, strict (Table 3).

    416 of 541 prompts, 697 of 834 instructions. Here it is one more of each: two prompts ask for
    "#" and "!", in whose place the checker draws a letter, which GPT-4 uses often enough or not.
    One prompt differs between the two files by a word, and joins all the same.
    """
    with gzip.open(IFEVAL / "input_response_data_gpt4_20231107_145030.jsonl.gz", "rt") as lines:
        answers = [json.loads(line) for line in lines]
    with gzip.open(IFEVAL / "input_data.jsonl.gz", "rt") as lines:
        rows = [json.loads(line) for line in lines]
    known = {answer["prompt"]: answer["response"] for answer in answers}
    rest = set(known) - {row["prompt"] for row in rows}
    assert len(rest) == 1
    by_kind = defaultdict(list)
    prompts = 0
    for row in rows:
        answer = known.get(row["prompt"]) or known[next(iter(rest))]
        found = followed(row["prompt"], answer, row["instruction_id_list"], row["kwargs"])
        prompts += all(found)
        for kind, one in zip(row["instruction_id_list"], found, strict=True):
            by_kind[kind].append(one)
    checked = [one for found in by_kind.values() for one in found]
    assert (len(rows), len(checked), checked.count(None)) == (541, 834, 0)
    assert (prompts, sum(checked)) == (416 + 1, 697 + 1)


@needed
def test_two_policies_of_a_comparison_are_scored_side_by_side(tmp_path, capsys):
    asked = "Tell a tale.\nNo comma.\nSay bread."
    prompt = {
        "prompt": asked,
        "instruction_id_list": ["punctuation:no_comma", "keywords:existence"],
        "kwargs": [{}, {"keywords": ["bread"]}],
    }
    (tmp_path / "prompts.jsonl").write_text(json.dumps(prompt) + "\n")
    row = {
        "prompt_id": "p",
        "messages": [{"role": "user", "content": asked}],
        "a_answer": "We met, and walked home.",
        "b_answer": "We met and walked home.",
    }
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "two.parquet")
    compared(tmp_path / "prompts.jsonl", tmp_path / "two.parquet")
    printed = capsys.readouterr().out
    assert "| per instruction | 2 | 0.0% | 50.0% | +50.0 (50.0 to 50.0) |" in printed
    assert "| per prompt | 1 | 0.0% | 0.0% | +0.0 (0.0 to 0.0) |" in printed
    assert "| punctuation:no_comma | 1 | 0.0% | 100.0% | +100.0 (100.0 to 100.0) |" in printed


@needed
def test_a_file_that_is_no_comparison_is_refused_in_one_line(tmp_path):
    row = {"prompt": "Hi", "instruction_id_list": [], "kwargs": []}
    (tmp_path / "prompts.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "no.parquet").write_text("no table")
    with pytest.raises(InputError, match=r"no\.parquet: no table of `tsalign compare`"):
        compared(tmp_path / "prompts.jsonl", tmp_path / "no.parquet")
