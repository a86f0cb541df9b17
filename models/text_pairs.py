"""Reward models that read a text pair: encoders whose tokenizer has no chat template.

Most reward models of the BERT family were trained on (prompt, answer) as two segments. Their
tokenizer is given a chat template that writes just that pair, so from here on they are read,
trained and saved like every other model.
"""

import json
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import torch

from data.errors import InputError
from models.chat import Tokenizer, load_tokenizer, render_conversation

# In the template of a model that tells the two texts apart by token_type_ids.
_SEGMENTS = "{#- the answer is segment 1 -#}"
# A prompt of one message is its text; of a longer talk every message is a line with its role.
_PAIR = (
    "{%- set talk = messages if add_generation_prompt else messages[:-1] -%}"
    "{{- begin -}}"
    "{%- for message in talk -%}"
    "{{- message['role'] + ': ' if talk | length > 1 else '' -}}"
    "{{- message['content'] -}}"
    "{{- '' if loop.last else '\\n' -}}"
    "{%- endfor -%}"
    "{{- between -}}"
    "{%- if not add_generation_prompt -%}{{- messages[-1]['content'] + end -}}{%- endif -%}"
)
_SAMPLE = ("What's one and two,\nplease? ", "It is 3.")


def load_reader(model_dir: str | Path, trust_remote_code: bool = False) -> Tokenizer:
    """The tokenizer of a reward model, which renders whole conversations.

    Raises:
        InputError: there is none, or it has no chat template and does not separate two texts.
    """
    tokenizer = load_tokenizer(model_dir, trust_remote_code)
    if not tokenizer.chat_template:
        config = json.loads((Path(model_dir) / "config.json").read_text(encoding="utf-8"))
        _set_pair_template(tokenizer, segments=(config.get("type_vocab_size") or 0) > 1)
    return tokenizer


def reads_segments(tokenizer: Tokenizer) -> bool:
    """Whether the model wants to be told by token_type_ids where the answer begins."""
    return str(tokenizer.chat_template or "").startswith(_SEGMENTS)


def with_segments(tokenizer: Tokenizer, batch: dict[str, Any]) -> dict[str, Any]:
    """The batch, with `token_type_ids` where the model reads them.

    Shapes (rows, tokens), as `input_ids`: 0 up to the first separator, 1 from there on.
    """
    if not reads_segments(tokenizer):
        return batch
    separators = (batch["input_ids"] == tokenizer.sep_token_id).long()
    answer = (separators.cumsum(1) - separators) > 0
    return batch | {"token_type_ids": answer.long() * batch["attention_mask"]}


def _set_pair_template(tokenizer: Tokenizer, segments: bool) -> None:
    """Give the tokenizer a template that writes its own text pair: [CLS] prompt [SEP] answer [SEP].

    Raises:
        InputError: its text pair has no separator, or is none that a template can write.
    """
    encoded = tokenizer("a", "b", return_special_tokens_mask=True)
    tokens = tokenizer.convert_ids_to_tokens(encoded["input_ids"])
    marked = zip(encoded["special_tokens_mask"], tokens, strict=True)
    runs = [(special, [t for _, t in run]) for special, run in groupby(marked, itemgetter(0))]
    if [special for special, _ in runs] != [1, 0, 1, 0, 1]:
        raise InputError(
            "the tokenizer has no chat template, and does not separate a text pair by special "
            "tokens; set a template and save it"
        )
    frame = ", ".join(json.dumps("".join(tokens)) for special, tokens in runs if special)
    segments = segments and 1 in encoded.get("token_type_ids", [])
    header = f"{{%- set begin, between, end = {frame} -%}}"
    tokenizer.chat_template = _SEGMENTS * segments + header + _PAIR
    _check_pair(tokenizer)


def _check_pair(tokenizer: Tokenizer) -> None:
    """InputError unless the template gives what the tokenizer itself makes of a text pair."""
    question, answer = _SAMPLE
    own = tokenizer(question, answer)
    rendered = render_conversation(tokenizer, [{"role": "user", "content": question}], answer)
    ids = torch.tensor([rendered])
    batch = with_segments(tokenizer, {"input_ids": ids, "attention_mask": torch.ones_like(ids)})
    types = batch.get("token_type_ids")
    if rendered != own["input_ids"] or (
        types is not None and types[0].tolist() != own["token_type_ids"]
    ):
        raise InputError(
            "the tokenizer has no chat template, and writes a text pair in a way that no template "
            "can; set one and save it"
        )
