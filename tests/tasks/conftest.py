"""Stages on the tiny models of the model tests."""

from tests.models.conftest import (  # noqa: F401
    bert_reward_dir,
    llama_reward_dir,
    policy_dir,
    tokenizer,
)
