"""Accuracy per instruction and per prompt, and the paired interval of the difference."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import InputError
from data.instructed import score
from data.instructed.accuracy import Checked, accuracy

ROWS = [
    Checked("p1", "a", "x", True, True),
    Checked("p1", "a", "y", False, True),
    Checked("p2", "a", "x", True, False),
    Checked("p3", "b", "y", False, True),
    Checked("p3", "b", "z", None, None),
]


def test_shares_by_hand():
    found = accuracy(ROWS)
    # a: 2 of 3 and 2 of 3 instructions, 1 and 1 of 2 prompts; b: 0 and 1 of 1.
    assert found.per_instruction.base == pytest.approx((2 / 3 + 0) / 2)
    assert found.per_instruction.policy == pytest.approx((2 / 3 + 1) / 2)
    assert found.per_instruction.difference == pytest.approx(0.5)
    assert (found.per_instruction.n, found.per_instruction.prompts) == (4, 3)
    assert (found.per_prompt.base, found.per_prompt.policy) == (0.25, 0.75)
    assert (found.per_prompt.n, found.per_prompt.prompts) == (3, 3)
    assert found.by_dataset["a"].difference == 0
    assert found.by_dataset["b"].difference == 1
    assert found.by_dataset_per_prompt["a"].policy == 0.5
    assert set(found.by_kind) == {"x", "y"}
    assert (found.by_kind["y"].base, found.by_kind["y"].policy, found.by_kind["y"].n) == (0, 1, 2)
    assert found.left_out == 1


def test_nothing_to_check():
    assert accuracy([]) is None
    assert accuracy(ROWS[-1:]) is None


def test_the_interval_covers_the_truth_as_often_as_it_says():
    """Differences are known to be 0.2 in the population; 200 samples of 120 prompts."""
    import numpy as np

    covered = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        rows = []
        for prompt in range(120):
            hard = rng.random() < 0.5  # of a prompt, so that its instructions go together
            for _ in range(rng.integers(1, 4)):
                base = bool(rng.random() < (0.1 if hard else 0.6))
                policy = bool(rng.random() < (0.3 if hard else 0.8))
                rows.append(Checked(str(prompt), "a", "x", base, policy))
        low, high = accuracy(rows, samples=300).per_instruction.ci95
        covered += low <= 0.2 <= high
    assert 0.9 <= covered / 200 <= 0.985


SIDES = st.tuples(st.booleans(), st.booleans())
PROMPTS = st.lists(st.lists(SIDES, min_size=1, max_size=3), min_size=1, max_size=12)


def rows_of(prompts):
    return [
        Checked(f"p{n}", "ab"[n % 2], "xyz"[k], base, policy)
        for n, sides in enumerate(prompts)
        for k, (base, policy) in enumerate(sides)
    ]


@settings(max_examples=60, deadline=None)
@given(PROMPTS)
def test_turned_round_the_difference_changes_its_sign(prompts):
    rows = rows_of(prompts)
    there, back = (
        accuracy(rows, 200),
        accuracy([r._replace(base=r.policy, policy=r.base) for r in rows], 200),
    )
    for one, other in (
        (there.per_instruction, back.per_instruction),
        (there.per_prompt, back.per_prompt),
    ):
        assert one.difference == pytest.approx(-other.difference)
        assert one.ci95 == pytest.approx((-other.ci95[1], -other.ci95[0]))
        assert one.ci95[0] - 1e-9 <= one.ci95[1]
        assert one.ci95[0] >= -1 and one.ci95[1] <= 1


@settings(max_examples=30, deadline=None)
@given(PROMPTS)
def test_a_policy_that_is_the_base_gains_nothing(prompts):
    found = accuracy([row._replace(policy=row.base) for row in rows_of(prompts)], 200)
    for one in (found.per_instruction, found.per_prompt, *found.by_kind.values()):
        assert (one.difference, one.ci95) == (0, (0, 0))


@pytest.mark.parametrize(
    ("prompt", "answer", "says"),
    [
        ({"prompt": "a"}, {"prompt": "a", "response": "b"}, "has no 'instruction_id_list' that is"),
        ({}, {"prompt": "a"}, "answers.jsonl line 1: has no 'response' that is a text"),
        ({}, {"prompt": ["a"], "response": "b"}, "has no 'prompt' that is a text; name another"),
    ],
)
def test_files_of_another_form_are_refused_in_one_line(tmp_path, prompt, answer, says):
    prompts, answers = tmp_path / "prompts.jsonl", tmp_path / "answers.jsonl"
    prompts.write_text(json.dumps(prompt))
    answers.write_text(json.dumps(answer))
    with pytest.raises(InputError, match=re.escape(says)):
        score.main(prompts, answers)
