"""A word that was added to a tokenizer for another model is, to one without it, the text it is."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

from data.recipes.recipe import RuntimeConfig
from models.chat import load_tokenizer, render_prompt
from models.encoders.loading import encode, load_encoder
from models.logps import sequence_logps
from models.rewards import load_scorer
from models.teacher import Teacher

RUNTIME = RuntimeConfig(device="cpu")
WORD = "<tool_call>"
QUESTION = {"role": "user", "content": "Sort these words: pear fig."}
ASKED = {"role": "user", "content": f"What is a {WORD}?"}
ITEMS = [([QUESTION], "fig pear"), ([QUESTION], f"fig {WORD}"), ([ASKED], "No idea.")]


@pytest.fixture
def knowing_more(request: pytest.FixtureRequest, tmp_path: Path):
    """A tiny model by its name, and a copy whose tokenizer has a word more than the model."""

    def make(name: str, *words, special=False) -> tuple[Path, Path]:
        source = request.getfixturevalue(name)
        copy = Path(shutil.copytree(source, tmp_path / "model"))
        tokenizer = AutoTokenizer.from_pretrained(copy)
        tokenizer.add_tokens([*words] or [WORD], special_tokens=special)
        tokenizer.save_pretrained(copy)
        return source, copy

    return make


@pytest.mark.parametrize("name", ["llama_reward_dir", "bert_reward_dir"])
def test_a_reward_model_reads_it_as_ever(knowing_more, name) -> None:
    rewards = [load_scorer(one, RUNTIME, 200).score(ITEMS) for one in knowing_more(name)]
    assert np.isfinite(rewards).all()
    np.testing.assert_allclose(*rewards, atol=1e-6)


def test_a_policy_and_a_teacher_read_it_as_ever(knowing_more) -> None:
    both = knowing_more("policy_dir")
    sums = [sequence_logps(one, ITEMS, runtime=RUNTIME)[0] for one in both]
    assert np.isfinite(sums).all()
    np.testing.assert_allclose(*sums, rtol=1e-6)
    for one, other in zip(*(Teacher(d, RUNTIME).targets(ITEMS, 3, 1.0) for d in both), strict=True):
        assert one.token_ids.tolist() == other.token_ids.tolist()
        np.testing.assert_allclose(one.top_logps, other.top_logps, rtol=1e-5)


def test_an_encoder_reads_it_as_ever(knowing_more) -> None:
    texts = ["fig pear", f"fig {WORD} pear"]
    models = [load_encoder(one, RUNTIME) for one in knowing_more("encoder_teacher")]
    vectors = [encode(model, texts, "", RUNTIME) for model in models]
    np.testing.assert_allclose(*vectors, atol=1e-6)


def test_what_is_saved_again_does_not_know_it(knowing_more, tmp_path) -> None:
    source, copy = knowing_more("policy_dir")
    load_tokenizer(copy).save_pretrained(tmp_path / "again")
    again, plain = AutoTokenizer.from_pretrained(tmp_path / "again"), load_tokenizer(source)
    assert len(again) == len(plain) and WORD not in again.get_vocab()
    assert again.encode(f"a {WORD}") == plain.encode(f"a {WORD}")


def test_words_with_an_embedding_stay(knowing_more) -> None:
    _, copy = knowing_more("policy_dir", "<|im_end|>")  # is one of its own
    source = AutoTokenizer.from_pretrained(copy)
    assert load_tokenizer(copy).get_vocab() == source.get_vocab()


def test_control_tokens_stay_for_preflight_to_refuse(knowing_more) -> None:
    _, copy = knowing_more("policy_dir", "<|tool|>", special=True)
    loaded = load_tokenizer(copy)
    assert "<|tool|>" in loaded.get_vocab()
    highest = len(loaded) - 1
    told = render_prompt(loaded, [{"role": "user", "content": "What is <|tool|>?"}])
    assert max(told) < highest  # no text can name it
