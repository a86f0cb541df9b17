"""Both backbones of tiny reward models."""

from pathlib import Path

import pytest


@pytest.fixture(params=["llama_reward_dir", "bert_reward_dir"])
def reward_dir(request: pytest.FixtureRequest) -> Path:
    return Path(request.getfixturevalue(request.param))
