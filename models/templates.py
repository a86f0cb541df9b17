"""Chat templates for a base policy that comes without one: two by name, or a user's own.

A base model has seen no turns. In `plain` they are words, and a model that has not learnt to end
one goes on with the user's next; so an answer also ends where the next turn would begin. Which
words end it stands in a comment of the template, and so goes wherever the tokenizer goes.
"""

import json
import re
import shutil
from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from transformers.utils import GENERATION_CONFIG_NAME

from data.errors import InputError, TrainingError
from data.recipes.recipe import TEMPLATES
from models.chat import Tokenizer, decode_completion, end_of_turn, load_tokenizer, stop_ids
from models.checkpoints import read_json, weight_files

_MARKS = re.compile(r"\{#-? ends at (\[.*?\]) -?#\}")
_PLAIN = (
    '{#- ends at ["\\nUser:"] -#}'
    "{{- begin -}}"
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'system' -%}{{- message['content'] -}}"
    "{%- elif message['role'] == 'user' -%}{{- 'User:\\n' + message['content'] -}}"
    "{%- else -%}{{- 'Assistant:\\n' + message['content'] + end -}}{%- endif -%}"
    "{{- '\\n\\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- 'Assistant:\\n' -}}{%- endif -%}"
)
_CHATML = (
    "{{- begin -}}"
    "{%- for message in messages -%}"
    "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + end + '\\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)
_SIGN = 4  # tokens that one sign may take: bytes of UTF-8, of which the first look like one sign
# Files of a model folder that are not weights; the rest is of no use to transformers.
_SIDE = {".json", ".model", ".txt", ".py", ".tiktoken"}


def named_template(tokenizer: Tokenizer, name: str) -> str:
    """The text of the template "plain" or "chatml" for a tokenizer that has none.

    Raises:
        InputError: it has one, or lacks the tokens that the template ends turns with.
    """
    if tokenizer.chat_template:
        raise InputError(
            "the tokenizer has a chat template of its own; leave policy.template out, or name a "
            "Jinja file to put in its place"
        )
    if name == "plain":
        if tokenizer.eos_token is None:
            raise InputError(
                "plain ends an answer with the EOS token, and the tokenizer has none; set "
                "eos_token and save it"
            )
        return _header(tokenizer, tokenizer.eos_token) + _PLAIN
    lacking = [t for t in ("<|im_start|>", "<|im_end|>") if t not in _added(tokenizer)]
    if lacking:
        raise InputError(
            f"chatml marks turns with {lacking[0]}, which is no special token of this tokenizer; "
            "use plain"
        )
    return _header(tokenizer, "<|im_end|>") + _CHATML


def _added(tokenizer: Tokenizer) -> set[str]:
    added = tokenizer.added_tokens_decoder.values()
    return {*tokenizer.all_special_tokens, *(token.content for token in added)}


def _header(tokenizer: Tokenizer, end: str) -> str:
    """Sets what begins a text, where the tokenizer itself begins one with BOS, and ends a turn."""
    first = tokenizer("a")["input_ids"][:1]
    bos = tokenizer.bos_token if first == [tokenizer.bos_token_id] else ""
    return f"{{%- set begin, end = {json.dumps(bos)}, {json.dumps(end)} -%}}"


def set_template(tokenizer: Tokenizer, template: str) -> Tokenizer:
    """The tokenizer with a template: "plain", "chatml", or the text of one. Raises InputError."""
    text = named_template(tokenizer, template) if template in TEMPLATES else template
    tokenizer.chat_template = text
    stop_marks(tokenizer)
    return tokenizer


def stop_marks(tokenizer: Tokenizer) -> tuple[str, ...]:
    """Words that end an answer besides tokens: of the comment `{#- ends at ["..."] -#}`.

    Raises:
        InputError: the comment holds no JSON list of texts.
    """
    return _stop_marks(str(tokenizer.chat_template or ""))


@lru_cache(maxsize=32)
def _stop_marks(template: str) -> tuple[str, ...]:
    found = _MARKS.search(template)
    if not found:
        return ()
    try:
        marks = json.loads(found[1])
    except ValueError:
        marks = [None]
    if not all(isinstance(mark, str) and mark.strip() for mark in marks):
        raise InputError(
            f"the chat template ends answers at {found[1]}, which is no JSON list of texts; write "
            '{#- ends at ["\\nUser:"] -#}'
        )
    return tuple(marks)


def length_before(tokenizer: Tokenizer, ids: Sequence[int], marks: Sequence[str]) -> int | None:
    """How many of the answer's tokens come before the first mark in it; None: it has none.

    White space before the mark is left out too, as far as it has tokens of its own.
    """
    text = decode_completion(tokenizer, ids)
    starts = [start for start in map(text.find, marks) if start >= 0]
    if not starts:
        return None
    before = text[: min(starts)].rstrip()

    def length(n: int) -> int:
        return len(decode_completion(tokenizer, ids[:n]).rstrip())

    count = bisect_left(range(len(ids)), len(before), key=length)
    for n in range(count, min(count + _SIGN, len(ids)) + 1):
        if decode_completion(tokenizer, ids[:n]).rstrip() == before:
            return n
    return max(0, count - 1)  # a token holds the answer's end and the mark's beginning


def save_with_template(
    out: Path, *, policy: Path, template: str, trust_remote_code: bool
) -> dict[str, Any]:
    """The policy's own files in `out`, with the chat template and the tokens that end its turns.

    Weights are copied byte by byte. Raises TrainingError if the tokenizer in `out` has another
    template.
    """
    tokenizer = set_template(load_tokenizer(policy, trust_remote_code), template)
    weights = {path.name for path in weight_files(policy)}
    for path in sorted(policy.iterdir()):
        side = path.suffix in _SIDE and path.name != "chat_template.json"
        if path.is_file() and (path.name in weights or side):
            shutil.copyfile(path, out / path.name)
    _rewrite(out / "tokenizer_config.json", {"chat_template": None})
    (out / "chat_template.jinja").write_text(tokenizer.chat_template, encoding="utf-8")
    _write_ends(out, tokenizer)
    if load_tokenizer(out, trust_remote_code).chat_template != tokenizer.chat_template:
        raise TrainingError("the tokenizer with the new chat template loads another; save it again")
    return {"ends": len(stop_ids(tokenizer, out)), "marks": len(stop_marks(tokenizer))}


def _write_ends(out: Path, tokenizer: Tokenizer) -> None:
    """Have generation_config.json end at the end of turn too, as this project always does."""
    path = out / GENERATION_CONFIG_NAME
    if not path.is_file():
        config = read_json(out / "config.json")
        kept = ("bos_token_id", "eos_token_id", "pad_token_id")
        path.write_text(json.dumps({n: config[n] for n in kept if config.get(n) is not None}))
    known = read_json(path).get("eos_token_id")
    ends = known if isinstance(known, list) else [known]
    if end_of_turn(tokenizer) not in ends:
        _rewrite(path, {"eos_token_id": stop_ids(tokenizer, out)})


def _rewrite(path: Path, changes: dict[str, Any]) -> None:
    """Change fields of a JSON file; None removes one. A file that is not there stays so."""
    if not path.is_file():
        return
    values = read_json(path) | changes
    kept = {n: value for n, value in values.items() if value is not None or n not in changes}
    path.write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
