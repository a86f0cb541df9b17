"""What a verdict says: the last line alone, nothing guessed, both orders together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.judges.verdict import of_odds, of_words, parse

WORDS = ("A", "B", "tie")


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("Verdict: A", "A"),
        ("verdict: b", "B"),
        ("**Verdict: tie**", "tie"),
        ("**Verdict:** A.", "A"),
        ("## Final verdict: [[B]]", "B"),
        ("> Verdict: (A)", "A"),
        ("Verdict: A or B", None),
        ("Verdict: C", None),
        ("Verdict:", None),
        ("My verdict: A", None),
        ("Verdict: A is not better", None),
        ("The verdict is A", None),
        ("A", None),
        ("", None),
        ("Verdict: AB", None),
        ("Verdict: A Verdict: B", None),
    ],
)
def test_a_line_is_a_verdict_or_is_not(line: str, word: str | None) -> None:
    assert parse(f"They differ.\n\n{line}\n \n") == word


@given(st.text(), st.sampled_from(WORDS), st.sampled_from(["\n", "\r\n", "\n\n"]))
def test_the_last_line_decides_whatever_stands_before(text: str, word: str, end: str) -> None:
    assert parse(f"{text}\nVerdict: {word}{end}") == word


@given(st.text(), st.sampled_from(WORDS), st.text("bcdefghijklmnop", min_size=1))
def test_what_comes_after_a_verdict_unsays_it(text: str, word: str, after: str) -> None:
    assert parse(f"{text}\nVerdict: {word}\n{after}") is None


@given(st.text(st.characters(blacklist_characters=":")))
def test_without_the_form_there_is_no_verdict(text: str) -> None:
    assert parse(text) is None


@pytest.mark.parametrize(
    ("first", "exchanged", "outcome", "margin", "turned"),
    [
        ("A", "B", 1.0, 1.0, False),
        ("B", "A", 0.0, -1.0, False),
        ("tie", "tie", 0.5, 0.0, False),
        ("A", "A", 0.5, 0.0, True),
        ("B", "B", 0.5, 0.0, True),
        ("A", "tie", 1.0, 0.5, False),
        ("tie", "A", 0.0, -0.5, False),
    ],
)
def test_two_orders_make_one_verdict(first, exchanged, outcome, margin, turned) -> None:  # type: ignore[no-untyped-def]
    both = of_words(first, exchanged)
    assert (both.outcome, both.margin, both.turned) == (outcome, margin, turned)


@given(st.sampled_from([*WORDS, None]), st.sampled_from([*WORDS, None]))
def test_exchanging_the_answers_exchanges_the_verdict(first, exchanged) -> None:  # type: ignore[no-untyped-def]
    one, other = of_words(first, exchanged), of_words(exchanged, first)
    if None in (first, exchanged):
        assert one == other and one.unjudged == "unparsable" and one.outcome is None
    else:
        assert one.outcome is not None and other.outcome == 1 - one.outcome
        assert other.margin == -one.margin and other.turned == one.turned  # type: ignore[operator]


@given(st.floats(-9, 9), st.floats(-9, 9))
def test_margins_of_both_orders_are_their_mean_unless_they_contradict(a: float, b: float) -> None:
    both = of_odds(a, b)
    if a * b < 0:
        assert both.turned and both.outcome == 0.5 and both.margin == 0
    else:
        assert both.margin == (a + b) / 2
        assert both.outcome == (0.5 if both.margin == 0 else float(both.margin > 0))
