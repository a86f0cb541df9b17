"""Tiny real models: a byte-level tokenizer with a chat template, a Llama policy, two scorers."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    PreTrainedTokenizerFast,
)

from data.recipes.recipe import RuntimeConfig
from models.chat import render_prompt
from models.engines import Engine, open_engine

SPECIAL = ["<pad>", "<s>", "<|im_start|>", "<|im_end|>"]
CHATML = (
    "{% for m in messages %}"
    "{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
CORPUS = [
    "Sort these words: pear apple fig cherry lemon grape.",
    "What is 12 plus 30? The answer is 42.",
    "Please rewrite this politely: give me the report now!",
    "I am sorry, but I cannot help with that request.",
    "user assistant system\nName three colours: red, green and blue.",
] * 4


def build_tokenizer(
    special: list[str], template: str | None, *, bos: str | None, eos: str, pad: str | None = None
) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of 400 ids; it adds `bos` itself, as Llama's and Gemma's do."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(CORPUS, trainer)
    if bos:
        backend.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, backend.token_to_id(bos))]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=bos,
        eos_token=eos,
        pad_token=pad,
        chat_template=template,
    )


@pytest.fixture(scope="session")
def make_tokenizer() -> Callable[..., PreTrainedTokenizerFast]:
    return build_tokenizer


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    return build_tokenizer(SPECIAL, CHATML, bos=None, eos="<|im_end|>", pad="<pad>")


def llama_config(tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=256,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        # Ten times the usual spread: greedy answers then depend on the prompt.
        initializer_range=0.2,
        dtype="float32",
    )


def save_policy(
    tokenizer: PreTrainedTokenizerFast, out: Path, seed: int, tied: bool = False
) -> Path:
    torch.manual_seed(seed)
    config = llama_config(tokenizer)
    config.tie_word_embeddings = tied
    LlamaForCausalLM(config).save_pretrained(out)
    tokenizer.save_pretrained(out)
    return out


@pytest.fixture(scope="session")
def policy_dir(
    tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return save_policy(tokenizer, tmp_path_factory.mktemp("policy"), seed=0)


@pytest.fixture(scope="session")
def other_policy_dir(
    tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The same architecture with other weights."""
    return save_policy(tokenizer, tmp_path_factory.mktemp("other_policy"), seed=1)


@pytest.fixture(scope="session")
def llama_reward_dir(
    tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A decoder scorer: one label, read at the last token."""
    out = tmp_path_factory.mktemp("llama_reward")
    torch.manual_seed(2)
    config = llama_config(tokenizer)
    config.num_labels = 1
    LlamaForSequenceClassification(config).save_pretrained(out)
    tokenizer.save_pretrained(out)
    return out


@pytest.fixture(scope="session")
def bert_reward_dir(
    tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """An encoder scorer: one label, read at the first token."""
    out = tmp_path_factory.mktemp("bert_reward")
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=256,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.2,
        num_labels=1,
    )
    BertForSequenceClassification(config).save_pretrained(out)
    tokenizer.save_pretrained(out)
    return out


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
