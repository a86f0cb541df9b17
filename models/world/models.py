"""The models of the embedded world, each trained by one plain function in well under two minutes.

    tokenizer -> trunk -> policy    the trunk has learnt the tasks from good answers, the policy
                      \\-> teacher   then from answers nobody checked; teacher: more good ones
                 student            a small encoder of its own

The teacher rewards by its likelihood, or is a classifier that has learnt pairs. These, and the
student's, come from `models.world.preferences`.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers
from tokenizers import models as tokenizer_models
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    set_seed,
)

from data.recipes.recipe import RuntimeConfig, TrainConfig
from data.world import CONTEXT
from models.chat import Messages, load_tokenizer
from models.loading import load_with_new_head
from models.reward_files import IMPLICIT, ImplicitReward
from models.training.reward_training import train_reward_model
from models.training.sft import train_sft

PAD, USER, ASSISTANT, END = "<|pad|>", "<|user|>", "<|assistant|>", "<|end|>"
MAX_LENGTH = 96  # tokens; the longest prompt and answer of the world have about 60

# Ends with the end of turn and nothing after it, so policies and reward models read the same ids.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|assistant|>' if message['role'] == 'assistant' else '<|user|>' }}"
    "{{ message['content'] + '<|end|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)

# Small steps in great number: a model this small learns to look things up in its prompt only
# after some thousand steps, whatever their size.
TRUNK = TrainConfig(learning_rate=1.5e-3, batch_size=8, max_length=MAX_LENGTH)
SMALL_POLICY = TrainConfig(learning_rate=3e-3, batch_size=16, epochs=2, max_length=MAX_LENGTH)
POLICY = TrainConfig(learning_rate=1e-3, batch_size=16, max_length=MAX_LENGTH)
PUZZLES = TrainConfig(learning_rate=3e-3, batch_size=8, max_length=CONTEXT)
TEACHER = TrainConfig(learning_rate=6e-4, batch_size=8, max_length=MAX_LENGTH)
STUDENT = TrainConfig(learning_rate=1e-3, epochs=4, batch_size=16, max_length=MAX_LENGTH)


def train_tokenizer(
    out: Path, *, conversations: Sequence[Messages], size: int = 768
) -> dict[str, Any]:
    """Words of the conversations, each one token; digits one by one; bytes for all the rest.

    Every token of a text follows from its words' counts alone, so equal texts give equal files.
    """
    pre = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r" ?\d"), "isolated"),
            pre_tokenizers.Split(Regex(r" ?[A-Za-z]+"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    counts: Counter[str] = Counter()
    for messages in conversations:
        for message in messages:
            counts.update(piece for piece, _ in pre.pre_tokenize_str(message["content"]))
    specials = [PAD, USER, ASSISTANT, END]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    by_count = sorted((-n, word) for word, n in counts.items() if len(word) > 1)
    words = [word for _, word in by_count[: size - len(specials) - len(alphabet)]]
    # Unigram picks the cheapest cut, so a word in one piece always beats its bytes.
    vocabulary = [(token, 0.0) for token in specials]
    vocabulary += [(word, -10.0) for word in words] + [(byte, -20.0) for byte in alphabet]
    tokenizer = Tokenizer(tokenizer_models.Unigram(vocabulary, unk_id=0, byte_fallback=False))
    tokenizer.pre_tokenizer = pre
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[USER, ASSISTANT],
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = CHAT_TEMPLATE
    fast.save_pretrained(out)
    return {"vocabulary": len(fast), "words": len(words)}


def train_trunk(
    out: Path,
    *,
    tokenizer: Path,
    conversations: Sequence[Messages],
    runtime: RuntimeConfig,
    seed: int,
    **reporting: Any,
) -> dict[str, Any]:
    """A Llama of 0.9M parameters from scratch, on good answers only."""
    return _from_scratch(
        out, tokenizer, conversations, TRUNK, runtime, seed, width=128, layers=4, **reporting
    )


def train_small_policy(
    out: Path,
    *,
    tokenizer: Path,
    conversations: Sequence[Messages],
    runtime: RuntimeConfig,
    seed: int,
    **reporting: Any,
) -> dict[str, Any]:
    """A Llama of a fifth of the trunk's parameters, on the base policy's mixed answers alone."""
    return _from_scratch(
        out, tokenizer, conversations, SMALL_POLICY, runtime, seed, width=64, layers=2, **reporting
    )


def train_puzzle_model(
    out: Path,
    *,
    tokenizer: Path,
    conversations: Sequence[Messages],
    runtime: RuntimeConfig,
    seed: int,
    width: int,
    layers: int,
    **reporting: Any,
) -> dict[str, Any]:
    """A Llama of the world of puzzles (`data.world.puzzles`), from scratch; heads of 32."""
    size = {"width": width, "layers": layers}
    return _from_scratch(out, tokenizer, conversations, PUZZLES, runtime, seed, **size, **reporting)


def _from_scratch(
    out: Path,
    tokenizer: Path,
    conversations: Sequence[Messages],
    config: TrainConfig,
    runtime: RuntimeConfig,
    seed: int,
    *,
    width: int,
    layers: int,
    **reporting: Any,
) -> dict[str, Any]:
    set_seed(seed)
    tok = load_tokenizer(tokenizer)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tok),
            hidden_size=width,
            intermediate_size=width * 21 // 8,
            num_hidden_layers=layers,
            num_attention_heads=width // 32,
            num_key_value_heads=width // 32,
            max_position_embeddings=CONTEXT,
            tie_word_embeddings=True,
            initializer_range=0.05,
            bos_token_id=None,
            eos_token_id=tok.eos_token_id,
            pad_token_id=tok.pad_token_id,
        )
    )
    meta = train_sft(
        out,
        model=model,
        tokenizer=tok,
        conversations=conversations,
        config=config,
        runtime=runtime,
        seed=seed,
        **reporting,
    )
    return {**meta, "parameters": model.num_parameters()}


def train_policy(
    out: Path,
    *,
    trunk: Path,
    conversations: Sequence[Messages],
    runtime: RuntimeConfig,
    seed: int,
    **reporting: Any,
) -> dict[str, Any]:
    """The base policy: the trunk, tuned on answers of mixed quality."""
    return _on_trunk(out, trunk, conversations, POLICY, runtime, seed, **reporting)


def _on_trunk(
    out: Path,
    trunk: Path,
    conversations: Sequence[Messages],
    config: TrainConfig,
    runtime: RuntimeConfig,
    seed: int,
    **reporting: Any,
) -> dict[str, Any]:
    return train_sft(
        out,
        model=trunk,
        tokenizer=load_tokenizer(trunk),
        conversations=conversations,
        config=config,
        runtime=runtime,
        seed=seed,
        **reporting,
    )


def train_teacher(
    out: Path,
    *,
    trunk: Path,
    preferences: pa.Table,
    runtime: RuntimeConfig,
    seed: int,
    **reporting: Any,
) -> dict[str, Any]:
    """Reward model on the trunk's backbone, as reward models usually start from an SFT model."""
    set_seed(seed)
    model: Any = load_with_new_head(trunk, torch.float32)
    model.score.weight.data.mul_(0.1)  # start near no preference at all
    meta = train_reward_model(
        out,
        model=model,
        tokenizer=load_tokenizer(trunk),
        preferences=preferences,
        config=TEACHER,
        runtime=runtime,
        seed=seed,
        **reporting,
    )
    return {**meta, "parameters": model.num_parameters()}


def train_likelihood_teacher(
    out: Path,
    *,
    trunk: Path,
    conversations: Sequence[Messages],
    runtime: RuntimeConfig,
    seed: int,
    **reporting: Any,
) -> dict[str, Any]:
    """The trunk, trained on further good answers: it rewards by its likelihood per token.

    It never learns a preference, so it has no policy's answers to be fooled by, and it stays of use
    when the policy moves away from the base; see docs/world.md for what a classifier is worth.
    """
    meta = _on_trunk(out, trunk, conversations, TRUNK, runtime, seed, **reporting)
    (out / IMPLICIT).write_text(ImplicitReward(per_token=True).model_dump_json())
    return meta


def train_student(
    out: Path,
    *,
    tokenizer: Path,
    preferences: pa.Table,
    runtime: RuntimeConfig,
    seed: int,
    **reporting: Any,
) -> dict[str, Any]:
    """Reward model from scratch: an encoder of a quarter of the teacher's size, few pairs."""
    set_seed(seed)
    tok = load_tokenizer(tokenizer)
    model = BertForSequenceClassification(
        BertConfig(
            vocab_size=len(tok),
            hidden_size=96,
            intermediate_size=192,
            num_hidden_layers=2,
            num_attention_heads=3,  # vLLM on a CPU reads heads of 32, not of 24
            max_position_embeddings=CONTEXT,
            type_vocab_size=1,
            num_labels=1,
            initializer_range=0.05,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            pad_token_id=tok.pad_token_id,
        )
    )
    meta = train_reward_model(
        out,
        model=model,
        tokenizer=tok,
        preferences=preferences,
        config=STUDENT,
        runtime=runtime,
        seed=seed,
        **reporting,
    )
    return {**meta, "parameters": model.num_parameters()}
