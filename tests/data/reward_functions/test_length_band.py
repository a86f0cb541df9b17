"""The length band: closed forms at its ends and between."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.reward_functions.length_band import MAX_WORDS, MIN_WORDS, band, length_band, within


def reward(words, **columns):
    completion = [{"role": "assistant", "content": "word " * words}]
    given = {name: [value] for name, value in columns.items()}
    return length_band(prompts=[[]], completions=[completion], **given)[0]


@pytest.mark.parametrize(
    ("words", "columns", "expected"),
    [
        (MIN_WORDS, {}, 1.0),
        (MAX_WORDS, {}, 1.0),
        (MIN_WORDS // 2, {}, 0.5),
        (MAX_WORDS * 3 // 2, {}, 0.5),
        (MAX_WORDS * 2, {}, 0.0),
        (MAX_WORDS * 5, {}, 0.0),
        (0, {}, 0.0),
        (5, {"min_words": 5, "max_words": 10}, 1.0),
        (4, {"min_words": "5", "max_words": "10"}, 0.8),  # as a CSV has them
        (12, {"min_words": 5, "max_words": 10}, 0.8),
        (1000, {"min_words": 5}, 1.0),
        (1, {"max_words": 10}, 1.0),
        (0, {"max_words": 10}, 1.0),
        (MIN_WORDS, {"min_words": None, "max_words": None}, 1.0),
    ],
)
def test_closed_forms(words, columns, expected):
    assert reward(words, **columns) == pytest.approx(expected)


@pytest.mark.parametrize("ends", [(10, 5), (-1, 5), (None, 0), ("many", 5)])
def test_ends_that_are_none(ends):
    with pytest.raises(ValueError):
        band(*ends)


@given(st.integers(0, 500), st.integers(0, 300), st.integers(1, 300))
def test_it_never_rises_away_from_the_band(words, low, width):
    high = low + width
    here, there = within(words, low, high), within(words + 1, low, high)
    assert 0 <= here <= 1 and (here == 1) == (low <= words <= high)
    assert there >= here if words < low else there <= here
