"""A student that has read nothing yet: a small encoder and a tokenizer, made from given texts.

For logged completions on a machine without a model hub. With a pretrained encoder at hand, name it
in `student.model` instead: it starts far ahead of this one.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

SPECIAL = ["<pad>", "<cls>", "<user>", "<assistant>", "<system>", "<end>"]
TEMPLATE = (
    "<cls>{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}<end>"
    "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)


def make_student(
    out: Path, texts: Iterable[str], *, vocabulary: int, max_length: int, seed: int
) -> dict[str, Any]:
    """Train a byte-level BPE tokenizer on `texts` and save a random encoder with one label."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        cls_token="<cls>",
        eos_token="<end>",
        chat_template=TEMPLATE,
        model_max_length=max_length,
    )
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=512,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=max_length,
        pad_token_id=tokenizer.pad_token_id,
        num_labels=1,
    )
    model = BertForSequenceClassification(config)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    return {"vocabulary": len(tokenizer), "parameters": model.num_parameters()}
