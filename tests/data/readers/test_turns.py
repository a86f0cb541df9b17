"""Prompts by columns say what they say row by row."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from data.readers.turns import holding, turns_of, with_a_sign
from data.schemas import MESSAGES

TALKS = st.lists(
    st.lists(st.tuples(st.sampled_from("sua"), st.text(max_size=4)), min_size=1, max_size=4),
    min_size=1,
    max_size=9,
)


@given(TALKS, st.integers(0, 4))
def test_turns_of_a_table_in_pieces(talks, cut):
    messages = [[{"role": role, "content": text} for role, text in talk] for talk in talks]
    pieces = [pa.array(part, MESSAGES) for part in (messages[:cut], messages[cut:])]
    found = [*turns_of(pa.table({"messages": pa.chunked_array(pieces)}))]
    assert [one.first for one in found] == [*np.cumsum([0, *(len(one.sizes) for one in found)])][
        :-1
    ]
    roles = [role for one in found for role in one.roles.to_pylist()]
    assert roles == [role for talk in talks for role, _ in talk]
    grouped = {}
    for one in found:
        names, codes = one.coded_roles()
        for kind, rows in one.groups(codes):
            for row in rows.tolist():
                grouped[one.first + row] = [names[code] for code in kind.tolist()]
        lengths = np.array([len(text) for text in one.contents.to_pylist()], np.int64)
        of_these = talks[one.first : one.first + len(one.sizes)]
        assert one.sums(lengths).tolist() == [sum(len(t) for _, t in talk) for talk in of_these]
        assert one.of_any(lengths > 2).tolist() == [
            any(len(text) > 2 for _, text in talk) for talk in of_these
        ]
    assert grouped == {i: [role for role, _ in talk] for i, talk in enumerate(talks)}


@given(st.lists(st.text(max_size=6)), st.sets(st.text(min_size=1, max_size=2), max_size=4))
def test_texts_are_sought_as_they_stand(texts, sought):
    found = holding(pa.array(texts, pa.string()), sought)
    assert found.tolist() == [any(one in text for one in sought) for text in texts]


@given(st.text(max_size=3))
def test_a_text_with_a_sign_is_not_blank(text):
    (found,) = with_a_sign(pa.array([text], pa.string()))
    assert not found or text.strip()
    assert found or not text.isprintable() or not text.strip() or not text.isascii()


def test_marks_of_patterns_are_signs():
    texts = pa.array(["<|a.b|>", "<|axb|>", "a\\E(", "\u00e9"], pa.string())
    assert holding(texts, {"<|a.b|>"}).tolist() == [True, False, False, False]
    assert holding(texts, {"\\E(", "\u00e9"}).tolist() == [False, False, True, True]
    assert not holding(texts, set()).any()
