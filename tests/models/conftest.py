"""Engines that serve the tiny policy, and prompts for them."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from data.recipes.recipe import RuntimeConfig
from models.chat import render_prompt
from models.engines import Engine, open_engine

# All but CORPUS: for the generator of the handed cases, which imports them from here.
from tests.fixtures.models import (  # noqa: F401
    CHATML,
    CORPUS,
    SPECIAL,
    build_tokenizer,
    llama_config,
    save_policy,
)

MAX_MODEL_LEN = 128


@pytest.fixture(scope="session")
def transformers_engine(policy_dir: Path) -> Iterator[Engine]:
    engine = open_engine("transformers", policy_dir, RuntimeConfig(), MAX_MODEL_LEN, seed=0)
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def vllm_engine(policy_dir: Path) -> Iterator[Engine]:
    """The real engine; it takes ten seconds and more to start, so all tests share one."""
    pytest.importorskip("vllm")
    engine = open_engine("vllm", policy_dir, RuntimeConfig(), MAX_MODEL_LEN, seed=0)
    yield engine
    engine.close()


@pytest.fixture(params=["transformers", pytest.param("vllm", marks=pytest.mark.vllm)])
def engine(request: pytest.FixtureRequest, policy_dir: Path) -> Engine:
    """Every engine in turn, serving `policy_dir`."""
    engine = request.getfixturevalue(f"{request.param}_engine")
    engine.load(policy_dir)
    return engine


@pytest.fixture(scope="session")
def prompts(tokenizer: PreTrainedTokenizerFast) -> list[list[int]]:
    """200 different prompts of 6 to 40 tokens."""
    generator = random.Random(0)
    words = " ".join(CORPUS).split()
    questions = [" ".join(generator.choices(words, k=generator.randint(1, 9))) for _ in range(200)]
    return [render_prompt(tokenizer, [{"role": "user", "content": text}]) for text in questions]
