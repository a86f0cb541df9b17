"""Many conversations are rendered as one by one, and one that is refused is so in its turn."""

from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import InputError
from models.chat import check_read_prompts
from models.chat_template import render, render_all
from tests.fixtures.models import CHATML, SPECIAL, build_tokenizer

TOKENIZER = build_tokenizer(SPECIAL, CHATML, bos=None, eos="<|im_end|>")
CHOOSY = build_tokenizer(
    SPECIAL,
    "{% if 'no' in messages[0]['content'] %}{{ raise_exception('not this') }}{% endif %}" + CHATML,
    bos=None,
    eos="<|im_end|>",
)
TEXTS = st.text(max_size=5) | st.sampled_from(["<|im_end|>", "a <|im_start|>user", "Hi"])
TURNS = st.builds(lambda role, content: {"role": role, "content": content}, st.just("user"), TEXTS)


@given(st.lists(st.lists(TURNS, min_size=1, max_size=3), max_size=6), st.booleans())
def test_many_are_rendered_as_one_by_one(talks, prompt):
    found = list(render_all(TOKENIZER, talks, prompt))
    assert found == [render(TOKENIZER, talk, prompt) for talk in talks]


def test_one_that_is_refused_does_not_keep_those_before_it_from_being_rendered():
    talks = [[{"role": "user", "content": text}] for text in ("Hi", "no", "Hi")]
    texts = render_all(CHOOSY, talks)
    assert len(list(islice(texts, 1))) == 1
    with pytest.raises(InputError, match="refuses a conversation of roles user: not this"):
        next(texts)


def test_a_reader_that_is_refused_a_prompt_names_its_place():
    texts = ["no" if number > 150 else "Hi" for number in range(300)]
    talks = [(f"line {n}", [{"role": "user", "content": text}]) for n, text in enumerate(texts)]
    with pytest.raises(InputError, match=r"^teacher.model: .*not this.*\(line 151\)$"):
        check_read_prompts(CHOOSY, "teacher.model", talks)
