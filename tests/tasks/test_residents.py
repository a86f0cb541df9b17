"""Models that outlive a stage: loaded once, one at a time, loaded anew after a failure."""

import shutil

import pytest
from transformers import LlamaConfig, LlamaForCausalLM

from data.recipes.recipe import RuntimeConfig
from data.store.store import Store
from tasks.running.loaded import LoadedModels
from tasks.running.outside import External
from tasks.score import score_rows
from tasks.stage import Context

A, B = ("sha256:" + digit * 64 for digit in "ab")
ITEMS = [([{"role": "user", "content": "What is 1 plus 1?"}], "Two.")]


@pytest.fixture
def loaded():
    loaded = LoadedModels("transformers", RuntimeConfig(), max_model_len=64)
    yield loaded
    loaded.close()


def test_a_reward_model_stays_until_another_length_or_an_engine_is_wanted(
    loaded,
    bert_reward_dir,
    policy_dir,
):
    first = loaded.scorer(bert_reward_dir, A, 64)
    assert loaded.scorer(bert_reward_dir, A, 64) is first
    second = loaded.scorer(bert_reward_dir, A, 32)
    assert second is not first
    engine = loaded.engine(policy_dir, A)
    assert loaded.scorer(bert_reward_dir, A, 32) is not second
    assert loaded.engine(policy_dir, A) is engine


def test_a_reward_model_that_failed_is_loaded_anew(
    loaded,
    bert_reward_dir,
    tmp_path,
    monkeypatch,
):
    context = Context(Store(tmp_path), RuntimeConfig(), loaded)
    model = External(path=str(bert_reward_dir), digest=A)
    expected = score_rows(context, model, ITEMS, 64)
    broken = loaded.scorer(bert_reward_dir, A, 64)
    monkeypatch.setattr(broken, "score", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        score_rows(context, model, ITEMS, 64)
    assert score_rows(context, model, ITEMS, 64) == expected


def test_weights_of_another_shape_get_an_engine_of_their_own(loaded, policy_dir, tmp_path):
    """A smaller cell of the model matrix cannot be handed over to the policy's engine."""
    smaller = tmp_path / "smaller"
    shutil.copytree(policy_dir, smaller)
    config = LlamaConfig.from_pretrained(str(policy_dir))
    config.num_hidden_layers = 1
    LlamaForCausalLM(config).save_pretrained(smaller)
    engine = loaded.engine(policy_dir, A)
    assert loaded.engine(policy_dir, A) is engine
    other = loaded.engine(smaller, B)
    assert other is not engine
    assert loaded.engine(smaller, B) is other


def test_other_bytes_in_the_same_folder_are_another_model(loaded, bert_reward_dir, policy_dir):
    scorer = loaded.scorer(bert_reward_dir, A, 64)
    assert loaded.scorer(bert_reward_dir, B, 64) is not scorer
    engine = loaded.engine(policy_dir, A)
    assert loaded.engine(policy_dir, B) is not engine
