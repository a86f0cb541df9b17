"""How many tokens a model reads: one answer, and nothing beyond it is read or cut."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    GPT2Config,
    RobertaConfig,
)

from data.recipes.recipe import PolicyConfig, RuntimeConfig, TrainConfig
from models.chat import load_tokenizer, render_conversation, render_prompt
from models.checkpoints import context_length, readable_length
from models.engines import open_engine
from models.engines.base import Sampling
from models.logps import sequence_logps
from models.rewards import load_scorer
from models.training.dpo import train_dpo
from models.training.reward_training import train_reward_model
from tests.models.training.training_rows import preferences

RUNTIME = RuntimeConfig(device="cpu")
TALK = [{"role": "user", "content": "Sort these words: pear apple fig."}]
CAUSAL = {"architectures": ["LlamaForCausalLM"]}
LONG = {"original_max_position_embeddings": 4096}


def roped(kind: str, **settings: Any) -> dict[str, Any]:
    scaling = {"rope_type": kind, **settings}
    return {**CAUSAL, "max_position_embeddings": 8192, "rope_scaling": scaling}


LENGTHS: list[tuple[dict[str, Any], float | None, int | None]] = [
    ({"max_position_embeddings": 256, **CAUSAL}, None, 256),
    ({"n_positions": 1024, **CAUSAL}, None, 1024),
    ({"n_ctx": 512, **CAUSAL}, None, 512),
    ({"max_seq_len": 2048, **CAUSAL}, None, 2048),
    ({"max_sequence_length": 300, **CAUSAL}, None, 300),
    ({"text_config": {"max_position_embeddings": 99}, **CAUSAL}, None, 99),
    ({"max_position_embeddings": None, **CAUSAL}, None, None),
    (CAUSAL, 1e30, None),
    ({"max_position_embeddings": 8192, **CAUSAL}, 2048, 8192),  # a note that few keep true
    ({"max_position_embeddings": 512}, 128, 128),
    ({"max_position_embeddings": 512}, 1e30, 512),
    ({"max_position_embeddings": 512}, -1, 512),
    ({"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}, 512, 512),
    ({"model_type": "roberta", "max_position_embeddings": 66, "pad_token_id": 0}, None, 65),
    ({"model_type": "xlm-roberta", "max_position_embeddings": 514}, None, 512),
    ({"model_type": "mpnet", "max_position_embeddings": 514, "pad_token_id": 0}, None, 512),
    (roped("linear", factor=4.0), None, 32768),
    (roped("dynamic", factor=2.0), None, 16384),
    (roped("yarn", factor=4.0, **LONG), None, 16384),
    (roped("yarn", factor=2.0, **LONG), None, 8192),
    (roped("llama3", factor=8.0, **LONG), None, 8192),
    (roped("longrope", **LONG), None, 8192),
    (roped("linear", factor=8.0) | {"model_type": "gemma3_text"}, None, 8192),
    ({**CAUSAL, "max_position_embeddings": 64,
      "rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 2.0}}}, None, 128),
]  # fmt: skip


@pytest.mark.parametrize(("config", "of_tokenizer", "expected"), LENGTHS)
def test_positions_by_every_name(
    config: dict[str, Any], of_tokenizer: float | None, expected: int | None, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    if of_tokenizer:
        values = json.dumps({"model_max_length": of_tokenizer})
        (tmp_path / "tokenizer_config.json").write_text(values)
    assert context_length(tmp_path) == expected
    assert readable_length(tmp_path, 100) == min(100, expected or 100)


@pytest.fixture(params=["gpt2", "roberta"])
def short_reward_dir(request: pytest.FixtureRequest, tokenizer: Any, tmp_path: Path) -> Path:
    """A classifier with a table of 64 positions, beyond which torch has no row."""
    config: Any = GPT2Config(n_embd=32, n_layer=1, n_head=2, n_positions=64)
    if request.param == "roberta":
        config = RobertaConfig(
            hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
            max_position_embeddings=65,
        )  # fmt: skip
    config.vocab_size, config.num_labels = len(tokenizer), 1
    config.pad_token_id = tokenizer.pad_token_id
    config.eos_token_id, config.bos_token_id = tokenizer.eos_token_id, None
    AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    return tmp_path


def answers(tokenizer: Any, *lengths: int) -> list[str]:
    """Answers with which the conversation has so many tokens."""
    empty = len(render_conversation(tokenizer, TALK, ""))
    return [" a" * (length - empty) for length in lengths]


def test_what_is_longer_than_the_positions_has_no_reward(
    short_reward_dir: Path, tokenizer: Any
) -> None:
    texts = answers(tokenizer, 63, 64, 65, 200)
    lengths = [len(render_conversation(tokenizer, TALK, text)) for text in texts]
    assert lengths == [63, 64, 65, 200]
    scorer = load_scorer(short_reward_dir, RUNTIME, 1024)
    rewards = scorer.score([(TALK, text) for text in texts])
    assert np.isnan(rewards).tolist() == [False, False, True, True]


def test_pairs_longer_than_the_positions_are_not_learnt_from_but_counted(
    short_reward_dir: Path, tmp_path: Path
) -> None:
    pairs = preferences(12)
    row = pairs.slice(0, 1).to_pylist()[0] | {"chosen": "a " * 300}
    pairs = pa.Table.from_pylist([row, *pairs.slice(1).to_pylist()], schema=pairs.schema)
    meta = train_reward_model(
        tmp_path / "out",
        model=short_reward_dir,
        tokenizer=load_tokenizer(short_reward_dir),
        preferences=pairs,
        config=TrainConfig(learning_rate=1e-3, batch_size=4, max_length=1024),
        runtime=RUNTIME,
        seed=0,
    )
    assert (meta["rows"], meta["too_long"]) == (11, 1)


@pytest.fixture
def short_policy_dir(tokenizer: Any, tmp_path: Path) -> Path:
    torch.manual_seed(0)
    config = GPT2Config(
        n_embd=32, n_layer=1, n_head=2, n_positions=64, vocab_size=len(tokenizer),
        pad_token_id=0, bos_token_id=None, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "policy")
    tokenizer.save_pretrained(tmp_path / "policy")
    return tmp_path / "policy"


def test_a_policy_is_never_asked_beyond_its_positions(
    short_policy_dir: Path, tokenizer: Any
) -> None:
    prompt = render_prompt(tokenizer, TALK)
    engine = open_engine("transformers", short_policy_dir, RUNTIME, 1024, seed=0)
    sampling = Sampling(k=2, temperature=1.0, top_p=1.0, max_tokens=500)
    (outputs,) = engine.generate([prompt], [0], sampling)
    engine.close()
    assert max(output.n_tokens for output in outputs) <= 64 - len(prompt)
    texts = answers(tokenizer, 65, 66)  # a policy does not read the template's last line break
    sums, _ = sequence_logps(short_policy_dir, [(TALK, t) for t in texts], runtime=RUNTIME)
    assert np.isnan(sums).tolist() == [False, True]


def test_a_judge_says_how_long_it_reads_whatever_its_tokenizer_says(
    policy_dir: Path, tmp_path: Path
) -> None:
    """Some tokenizers of long models still carry the length of a shorter one."""
    folder = Path(shutil.copytree(policy_dir, tmp_path / "judge"))
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_max_length": 16}))
    assert context_length(folder) == 256


def test_a_policy_learns_from_the_pairs_it_can_read_and_counts_the_others(
    short_policy_dir: Path, tmp_path: Path
) -> None:
    """A recorded answer may be longer than anything the policy could have written."""
    pairs = preferences(12)
    row = pairs.slice(0, 1).to_pylist()[0] | {"chosen": "a " * 300}
    pairs = pa.Table.from_pylist([row, *pairs.slice(1).to_pylist()], schema=pairs.schema)
    texts = pairs["chosen"].to_pylist() + pairs["rejected"].to_pylist()
    items = list(zip(pairs["messages"].to_pylist() * 2, texts, strict=True))
    logps, _ = sequence_logps(short_policy_dir, items, runtime=RUNTIME)
    reference = pa.table(
        {
            "pair_id": pairs["pair_id"],
            "chosen_logp": pa.array(logps[:12], pa.float64(), from_pandas=True),
            "rejected_logp": pa.array(logps[12:], pa.float64(), from_pandas=True),
        }
    )
    assert reference["chosen_logp"].null_count == 1
    meta = train_dpo(
        tmp_path / "out",
        policy=short_policy_dir,
        preferences=pairs,
        reference=reference,
        config=PolicyConfig(method="full", learning_rate=1e-3, batch_size=4, max_length=1024),
        runtime=RUNTIME,
        seed=0,
    )
    assert (meta["rows"], meta["too_long"]) == (11, 1)
