"""Tables of answers for property tests: ties, repeated, empty, cut, unread answers; any order."""

import string

import pyarrow as pa
from hypothesis import strategies as st

from data.schemas import COMPLETIONS, PROMPTS, SCORES

# Few different ones, so that many are equal; 0.1 + 0.2 is not 0.3.
REWARDS = st.sampled_from([-1.0, -0.0, 0.0, 0.3, 0.1 + 0.2, 0.5]) | st.none() | st.floats(-3, 3)
TEXTS = (
    st.sampled_from(["a", "b", "ää" * 9, "\U0001f600 long " * 3, "c\x00", "d", "e" * 20, "f", "g"])
    | st.sampled_from(["", " ", "\t\u2003\x1c", "a "])
    | st.text(string.printable, max_size=4)
)
PROMPT_IDS = st.sampled_from(["p", "P", "pq", "é", "z", "\U0001f600", "\uffff", "0"])


@st.composite
def answered(draw, most=24):
    """COMPLETIONS and their SCORES, in orders of their own; prompts together or scattered."""
    prompts = draw(st.lists(PROMPT_IDS, min_size=1, max_size=3, unique=True))
    row = st.tuples(
        *(st.sampled_from(prompts), st.integers(0, 9), TEXTS),
        *(st.sampled_from(["stop", "stop", "stop", "length"]), REWARDS),
        st.none() | st.lists(st.integers(0, 9), max_size=3),
    )
    least = draw(st.sampled_from([0, most // 2]))
    rows = draw(st.lists(row, min_size=least, max_size=most))
    if draw(st.booleans()):
        rows.sort(key=lambda one: one[0])
    completions, scores = [], []
    for number, (prompt, sample, text, reason, reward, token_ids) in enumerate(rows):
        ids = {"completion_id": f"{prompt}/{number}", "prompt_id": prompt}
        scores.append(ids | {"reward": reward})
        answer = {"completion": text, "finish_reason": reason, "n_tokens": len(text)}
        completions.append(ids | answer | {"sample": sample, "token_ids": token_ids})
    if draw(st.booleans()):
        draw(st.randoms()).shuffle(scores)
    return (
        pa.Table.from_pylist(completions, COMPLETIONS),
        pa.Table.from_pylist(scores, SCORES),
    )


def prompts_of(ids):
    """PROMPTS of these ids, each with its own words."""
    rows = [
        {
            "prompt_id": id_,
            "messages": [{"role": "user", "content": f"What of {id_}?"}] * (1 + number % 2),
            "dataset": f"d{number % 3}",
        }
        for number, id_ in enumerate(ids)
    ]
    return pa.Table.from_pylist(rows, PROMPTS)


def same(found, wanted):
    """Whether two tables are the same bit for bit: 0.0 is not -0.0."""
    floats = [field.name for field in wanted.schema if field.type == pa.float64()]
    bits = [[[repr(x) for x in t[name].to_pylist()] for name in floats] for t in (found, wanted)]
    return found.equals(wanted) and found.schema == wanted.schema and bits[0] == bits[1]
