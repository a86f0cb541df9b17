"""Exact answers: the recorded correctness of GSM8K solutions, and the forms of numbers."""

import gzip
import json
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.reward_functions.exact_answer import exact_answer, gives, numbers
from tests.repository import SHARED

REAL = SHARED / "realdata" / "gsm8k"


def rewards(texts, answers):
    completions = [[{"role": "assistant", "content": text}] for text in texts]
    return exact_answer(prompts=[[]] * len(texts), completions=completions, answer=answers)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("She makes 9 * 2 = $<<9*2=18>>18.\n#### 18", "16 - 3 - 4 = 9\n#### 18"),
        ("So the answer is 18.", "#### 18"),
        ("It is 18.0 dollars", "18"),
        ("That makes $1,234.50 in all", "#### 1234.5"),
        ("#### 1,000", "1000"),
        ("70000 is the profit: \\boxed{70{,}000}, from 3 sales", "70,000"),
        ("a \\boxed{7} and then \\boxed{\\text{about } 18}, so 3", "18"),
        ("the change is -3", "#### -3"),
        ("the change is \N{MINUS SIGN}3 degrees", "-3"),
        ("a loss of -$3.00", "-3"),
        ("x = \\boxed{\\frac{3}{4}}", "0.75"),
        ("half of it, 1/2", ".5"),
        ("#### 18\nThat took 3 steps", "18"),
        ("It takes 5km", 5),
        ("**12**", 12.0),
        ("x", None),
        ("#### Paris.", "paris"),
        ("So the capital is\nParis", "Paris"),
        ("either 4 or 5", ["3", "5"]),
    ],
)
def test_right(text, expected):
    assert rewards([text], [expected]) == [None if expected is None else 1.0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("18 eggs, so 17", "18"),
        ("#### 17, not 18", "18"),
        ("\\boxed{17} 18", "18"),
        ("5-3", "-3"),
        ("no number at all", "18"),
        ("", "18"),
        ("-18", "18"),
        ("1800", "18"),
        ("18%", "0.18"),  # percent stays percent
        ("H18", "18"),  # a name
        ("London", "Paris"),
        ("Paris is not it\nLondon", "Paris"),
        ("either 4 or 6", ["3", "5"]),
    ],
)
def test_wrong(text, expected):
    assert rewards([text], [expected]) == [0.0]


AMOUNTS = st.decimals(-(10**9), 10**9, places=2, allow_nan=False)


@given(AMOUNTS, st.sampled_from(["", "$", "€"]), st.booleans())
def test_a_number_is_known_in_every_form_it_is_written_in(value, currency, commas):
    sign, size = ("-" if value < 0 else ""), abs(value)
    text = f"{sign}{currency}{size:,}" if commas else f"{sign}{currency}{size}"
    assert numbers(f"So it is {text} apples.") == [Fraction(value)]
    assert gives(f"3 steps later it is {text} in all.", str(value))
    assert not gives(f"3 steps later it is {text} in all.", str(value + 1))


@given(st.text())
def test_any_text_has_an_outcome(text):
    assert rewards([text, text], [text, "18"])[1] in (0.0, 1.0)


@pytest.mark.skipif(not REAL.is_dir(), reason="needs GSM8K in ../shared/realdata")
def test_gsm8ks_recorded_correctness_is_reproduced():
    def rows(name):
        with gzip.open(REAL / name, "rt") as file:
            yield from map(json.loads, file)

    answers = {row["question"]: row["answer"] for row in rows("test.jsonl.gz")}
    agree = [
        gives(solution["solution"], answers[row["question"]]) == solution["is_correct"]
        for row in rows("example_model_solutions.jsonl.gz")
        for solution in row.values()
        if isinstance(solution, dict)
    ]
    assert len(agree) == 4 * 1319 and all(agree)
