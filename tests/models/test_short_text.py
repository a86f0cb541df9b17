"""A text that is taken to be short has no more tokens than was said, nor any that is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import normalizers, pre_tokenizers

from data.errors import InputError
from models.chat import check_prompts, render_prompt
from models.short_text import counts_bytes, is_surely_fine
from tests.fixtures.models import CHATML, SPECIAL, build_tokenizer, chatml_tokenizer

TOKENIZER = chatml_tokenizer()
BITS = st.lists(st.sampled_from(["a", "lemon ", "<|im_start|>", "<s>", " ", "\n", "é", "🙂"]))


@given(BITS.map("".join) | st.text(), st.integers(1, 200))
def test_it_has_no_more_tokens_than_bytes(text, limit):
    assert counts_bytes(TOKENIZER)
    if is_surely_fine(TOKENIZER, [text], limit, None):
        assert len(TOKENIZER(text, add_special_tokens=False)["input_ids"]) <= limit


@pytest.mark.parametrize("limit", [0, 8, 1_000])
def test_lengths_beyond_the_limit_are_those_of_the_tokens(limit):
    talks = [[{"role": "user", "content": "lemon " * n}] for n in (1, 40)]
    exact = [len(render_prompt(TOKENIZER, talk)) for talk in talks]
    found = check_prompts(TOKENIZER, "m", [("place", talk) for talk in talks], None, limit)
    assert all(one in (0, length) for one, length in zip(found, exact, strict=True))
    assert [length > limit for length in exact] == [one > limit for one in found]


@pytest.mark.parametrize("between", ["", " ", "\n"])
def test_a_second_bos_is_found_in_a_short_prompt(between):
    tokenizer = build_tokenizer(SPECIAL, f"<s>{between}<s>" + CHATML, bos="<s>", eos="<|im_end|>")
    assert not is_surely_fine(tokenizer, [f"<s>{between}<s>a"], 1_000, None)
    assert is_surely_fine(tokenizer, ["<s>a<s>b"], 1_000, None)
    prompts = [("line 1", [{"role": "user", "content": "Hi"}])]
    if not between:
        with pytest.raises(InputError, match="2 BOS tokens"):
            check_prompts(tokenizer, "m", prompts, None, 1_000)


def test_where_the_vocabulary_is_larger_than_the_model_tokens_are_looked_at():
    highest = max(TOKENIZER.get_vocab().values())
    assert is_surely_fine(TOKENIZER, ["a"], 10, highest + 1)
    assert not is_surely_fine(TOKENIZER, ["a"], 10, highest)


def test_tokenizers_that_rewrite_or_add_tell_nothing_by_bytes():
    for change in ("normalizer", "pre_tokenizer"):
        tokenizer = chatml_tokenizer()
        made = {
            "normalizer": normalizers.NFKC(),
            "pre_tokenizer": pre_tokenizers.ByteLevel(add_prefix_space=True),
        }
        setattr(tokenizer.backend_tokenizer, change, made[change])
        assert not counts_bytes(tokenizer)
        assert not is_surely_fine(tokenizer, ["a"], 1_000, None)
