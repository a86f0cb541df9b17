"""Stages on the tiny models of the model tests."""

from tests.models.conftest import bert_reward_dir, policy_dir, tokenizer  # noqa: F401
