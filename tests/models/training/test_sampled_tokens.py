"""The policy is trained on the token ids it sampled, whatever its tokenizer makes of their text."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers import models as tokenizer_models
from transformers import PreTrainedTokenizerFast

from data.recipes.recipe import RuntimeConfig
from data.schemas import PREFERENCES
from models.chat import (
    decode_completion,
    load_tokenizer,
    render_completion,
    render_prompt,
    round_trip_change,
    token_ids,
)
from models.engines import Engine
from models.engines.base import Sampling
from models.logps import sequence_logps
from models.training.dpo import tokenise_pairs
from tests.fixtures.models import CHATML, CORPUS, SPECIAL, save_policy
from tests.models.training.training_rows import preferences, reference

MESSAGES = [{"role": "user", "content": "What is 2 + 2?"}]
METASPACE = {
    "metaspace": decoders.Metaspace(),
    # As converted Llama and Gemma tokenizers have it.
    "strip": decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1),
        ]
    ),
}


def spaced_tokenizer(decoder: str, template: str = CHATML) -> PreTrainedTokenizerFast:
    """A tokenizer of words with their spaces, whose decoder drops the first one."""
    backend = Tokenizer(tokenizer_models.BPE(unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = METASPACE[decoder]
    special = ["<unk>", *SPECIAL]
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=special,
        initial_alphabet=[chr(i) for i in range(33, 127)] + ["\n", "—", "é", "漢", "🙂"],
        show_progress=False,
    )
    backend.train_from_iterator(CORPUS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token="<|im_end|>",
        pad_token="<pad>",
        unk_token="<unk>",
        chat_template=template,
    )


def sampled_pair(chosen: list[int] | None, rejected: list[int] | None) -> pa.Table:
    """One preference, with the ids that were sampled and text that is not theirs."""
    ids = {"chosen_token_ids": chosen, "rejected_token_ids": rejected}
    return pa.Table.from_pylist([preferences(1).to_pylist()[0] | ids], PREFERENCES)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_row_of_training_holds_the_sampled_ids_and_nothing_else(
    data: st.DataObject, tokenizer: PreTrainedTokenizerFast
) -> None:
    """Any ids: pieces of a character, spaces, texts of special tokens, ended or cut off."""
    words = tokenizer("<|im s> 漢🙂 assistant\n", add_special_tokens=False)["input_ids"]
    some = st.lists(
        st.one_of(st.integers(0, len(tokenizer) - 1), st.sampled_from(words)), max_size=12
    )
    end = st.sampled_from([[], [tokenizer.eos_token_id]])
    sides = [data.draw(some) + data.draw(end) or [5] for _ in range(2)]
    pair = sampled_pair(*sides)
    (row,), counts = tokenise_pairs(tokenizer, pair, reference(pair), 1024)
    assert [row["chosen_ids"], row["rejected_ids"]] == sides
    assert row["prompt_ids"] == render_prompt(tokenizer, pair["messages"].to_pylist()[0])
    assert counts == {"too_long": 0, "retokenized": 0}


@pytest.mark.parametrize("known", [(None, None), ([5, 6], None), (None, [5, 6])])
def test_pairs_of_which_a_side_is_text_alone_are_counted(
    tokenizer: PreTrainedTokenizerFast, known: tuple[list[int] | None, list[int] | None]
) -> None:
    pair = sampled_pair(*known)
    row = pair.to_pylist()[0]
    (found,), counts = tokenise_pairs(tokenizer, pair, reference(pair), 1024)
    assert counts == {"too_long": 0, "retokenized": 1}
    for side, ids in zip(("chosen", "rejected"), known, strict=True):
        text = render_completion(tokenizer, row["messages"], row[side])[1]
        assert found[f"{side}_ids"] == (ids or text)


def test_reference_is_what_the_engine_gave_the_tokens_it_sampled(
    policy_dir: Path, transformers_engine: Engine, prompts: list[list[int]]
) -> None:
    """Random weights write pieces of characters and of special tokens' text, and are cut off."""
    transformers_engine.load(policy_dir)
    tokenizer = load_tokenizer(policy_dir)
    messages = [[{"role": "user", "content": f"What is {i} plus 30?"}] for i in range(12)]
    asked = [render_prompt(tokenizer, talk) for talk in messages]
    sampling = Sampling(k=1, temperature=1.0, top_p=1.0, max_tokens=20)
    outputs = [o for (o,) in transformers_engine.generate(asked, list(range(12)), sampling)]
    ids = [output.token_ids for output in outputs]
    expected = [sum(logps) for logps in transformers_engine.logprobs(asked, ids)]
    items = list(zip(messages, ids, strict=True))
    found, lengths = sequence_logps(policy_dir, items, runtime=RuntimeConfig(device="cpu"))
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert lengths.tolist() == [output.n_tokens for output in outputs]
    again = [
        render_completion(tokenizer, m, o.text)[1] for m, o in zip(messages, outputs, strict=True)
    ]
    assert sum(a != b for a, b in zip(again, ids, strict=True)) > 6  # text is not what was sampled


@pytest.mark.parametrize("decoder", METASPACE)
def test_a_first_space_that_was_sampled_is_in_the_text(decoder: str) -> None:
    tokenizer = spaced_tokenizer(decoder)
    ids = tokenizer("It is 4.", add_special_tokens=False)["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids[0]).startswith("▁")
    assert tokenizer.decode(ids) == "It is 4."  # at the start of a text
    assert decode_completion(tokenizer, ids) == " It is 4."  # in an answer
    assert round_trip_change(tokenizer) is None


@pytest.mark.parametrize("decoder", METASPACE)
def test_text_would_have_changed_the_ids(decoder: str) -> None:
    """A template that trims, as Llama's and Gemma's do, loses the space; the ids keep it."""
    tokenizer = spaced_tokenizer(decoder, CHATML.replace("m['content']", "m['content'] | trim"))
    ids = [*tokenizer(" It is 4.", add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    text = decode_completion(tokenizer, ids[:-1])
    prompt, sampled = token_ids(tokenizer, MESSAGES, ids)
    assert sampled == ids and prompt == render_prompt(tokenizer, MESSAGES)
    assert token_ids(tokenizer, MESSAGES, text)[1] != ids


def test_characters_in_pieces_are_read_as_they_were(tokenizer: PreTrainedTokenizerFast) -> None:
    ids = tokenizer("漢字 🙂", add_special_tokens=False)["input_ids"]
    for start in range(len(ids)):
        for end in range(start, len(ids) + 1):
            part = ids[start:end]
            assert decode_completion(tokenizer, part) == tokenizer.decode(part)


def test_a_tokenizer_that_loses_text_is_told(make_tokenizer: Callable) -> None:
    from tokenizers import normalizers

    tokenizer = make_tokenizer(SPECIAL, CHATML, bos=None, eos="<|im_end|>")
    assert round_trip_change(tokenizer) is None
    tokenizer.backend_tokenizer.normalizer = normalizers.Lowercase()
    assert round_trip_change(tokenizer) == "Yes, 4."


def test_a_policy_of_such_a_tokenizer_is_scored_on_its_own_tokens(tmp_path: Path) -> None:
    tokenizer = spaced_tokenizer("strip")
    policy = save_policy(tokenizer, tmp_path / "policy", seed=0)
    ids = tokenizer("It is 4.", add_special_tokens=False)["input_ids"]
    runtime = RuntimeConfig(device="cpu")
    cut, ended = ([(MESSAGES, [*ids, *end])] for end in ([], [tokenizer.eos_token_id]))
    _, n_cut = sequence_logps(policy, cut, runtime=runtime)
    _, n_ended = sequence_logps(policy, ended, runtime=runtime)
    assert (n_cut[0], n_ended[0]) == (len(ids), len(ids) + 1)  # no end that was not written
