"""The one place where messages become token ids.

Every model renders with its own tokenizer's chat template. The template writes all special tokens,
so the tokenizer adds none: that is how a second BOS gets in. A completion is the part of the
template's full rendering that follows the generation prompt, up to the end-of-turn token.
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from transformers import AutoTokenizer

from data.errors import InputError
from models import today

Messages = Sequence[Mapping[str, str]]
Tokenizer = Any  # transformers' PreTrainedTokenizerBase, which it does not type

_QUESTION: Messages = [{"role": "user", "content": "a"}]
_ANSWER = "qZq"  # unlikely to be part of a template


def load_tokenizer(model_dir: str | Path, trust_remote_code: bool = False) -> Tokenizer:
    """The tokenizer of a Hugging Face directory or hub id; InputError if there is none."""
    try:
        return AutoTokenizer.from_pretrained(str(model_dir), trust_remote_code=trust_remote_code)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"no tokenizer can be loaded from '{model_dir}': {_one_line(error)}; "
            "save one there with tokenizer.save_pretrained"
        ) from error


def render_prompt(tokenizer: Tokenizer, messages: Messages) -> list[int]:
    """Token ids of the conversation, ending where the assistant's answer begins."""
    return _encode(tokenizer, _render(tokenizer, messages, generation_prompt=True))


def render_prompts(tokenizer: Tokenizer, conversations: Sequence[Messages]) -> list[list[int]]:
    """`render_prompt` of many conversations, several times as fast."""
    texts = [_render(tokenizer, messages, generation_prompt=True) for messages in conversations]
    return [list(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]]


def render_conversation(tokenizer: Tokenizer, messages: Messages, completion: str) -> list[int]:
    """Token ids of the template's full rendering, nothing cut: what a reward model reads."""
    return _encode(tokenizer, _render(tokenizer, _answered(messages, completion)))


def render_completion(
    tokenizer: Tokenizer, messages: Messages, completion: str
) -> tuple[list[int], list[int]]:
    """Token ids of the prompt and of the completion, which ends with the end-of-turn token.

    Their concatenation is the full rendering less what the template writes after the end of
    turn (a line break in many), which a policy is never asked to produce.
    """
    prompt = _render(tokenizer, messages, generation_prompt=True)
    full = _render(tokenizer, _answered(messages, completion))
    if not full.startswith(prompt):
        raise InputError(
            "the chat template's generation prompt does not begin the answered conversation; "
            "use a template without text that only the generation prompt has"
        )
    prompt_ids, full_ids = _encode(tokenizer, prompt), _encode(tokenizer, full)
    if full_ids[: len(prompt_ids)] == prompt_ids:
        completion_ids = full_ids[len(prompt_ids) :]
    else:  # a token spans the border; the policy continues the prompt's tokens, so split there
        completion_ids = _encode(tokenizer, full[len(prompt) :])
    end = end_of_turn(tokenizer)
    if end not in completion_ids:
        raise InputError("the chat template does not end this completion with an end-of-turn token")
    last = len(completion_ids) - completion_ids[::-1].index(end)
    return prompt_ids, completion_ids[:last]


def decode_completion(tokenizer: Tokenizer, token_ids: Sequence[int]) -> str:
    """Text of generated token ids without special tokens, spaces left as they are."""
    text = tokenizer.decode(
        list(token_ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
    )
    return str(text)


def end_of_turn(tokenizer: Tokenizer) -> int:
    """Id of the first special token the template writes after an assistant's answer.

    Gemma's differs from its EOS, so the tokenizer's `eos_token_id` is not enough.
    """
    return _end_of_turn(tokenizer, str(tokenizer.chat_template))


def stop_ids(tokenizer: Tokenizer, model_dir: str | Path) -> list[int]:
    """All ids that end a generation: EOS of tokenizer and generation config, end of turn."""
    ids = {tokenizer.eos_token_id}
    config = Path(model_dir) / "generation_config.json"
    if config.is_file():
        eos = json.loads(config.read_text()).get("eos_token_id")
        ids.update(eos if isinstance(eos, list) else [eos])
    if tokenizer.chat_template:
        ids.add(end_of_turn(tokenizer))
    return sorted(ids - {None})


def check_chat_template(tokenizer: Tokenizer, name: str, sample_messages: Messages) -> None:
    """InputError unless the template renders such a conversation whole, with one end and one BOS.

    `name` is the recipe's field, for the message, e.g. "policy.model".
    """
    if not tokenizer.chat_template:
        raise InputError(f"{name}: the tokenizer has no chat template; set one and save it")
    try:
        text = _render(tokenizer, sample_messages, generation_prompt=True)
        prompt_ids, completion_ids = render_completion(tokenizer, sample_messages, _ANSWER)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    for message in sample_messages:
        # Assistant turns may lose their reasoning on purpose; nothing else may be lost.
        if message["role"] != "assistant" and message["content"].strip() not in text:
            raise InputError(
                f"{name}: the chat template drops the content of role '{message['role']}'; "
                "use a template that knows this role or remove it from the prompts"
            )
    bos = tokenizer.bos_token_id
    n_bos = (prompt_ids + completion_ids).count(bos) if bos != tokenizer.eos_token_id else 0
    if bos is not None and n_bos > 1:
        raise InputError(f"{name}: the chat template writes {n_bos} BOS tokens; leave at most one")


def check_vocabulary(tokenizer: Tokenizer, name: str, rows: int | None) -> None:
    """InputError if the tokenizer has words that the model, of `rows` embeddings, does not have.

    Tokens added to a tokenizer for other members of a model family may lie beyond.
    """
    if rows is not None and tokenizer.vocab_size > rows:
        raise InputError(
            f"{name}: the tokenizer has {tokenizer.vocab_size} tokens, the model embeddings for "
            f"{rows}; use the tokenizer that the model was trained with"
        )


def _answered(messages: Messages, completion: str) -> list[Mapping[str, str]]:
    return [*messages, {"role": "assistant", "content": completion}]


def _render(tokenizer: Tokenizer, messages: Messages, generation_prompt: bool = False) -> str:
    if not tokenizer.chat_template:
        raise InputError("the tokenizer has no chat template; set one and save it")
    try:
        text = tokenizer.apply_chat_template(
            [dict(message) for message in messages],
            tokenize=False,
            add_generation_prompt=generation_prompt,
            strftime_now=today.strftime_now,
        )
    except (TemplateError, TypeError, ValueError, LookupError, ArithmeticError) as error:
        roles = ", ".join(message["role"] for message in messages)
        raise InputError(
            f"the chat template refuses a conversation of roles {roles}: {_one_line(error)}; "
            "use another template or remove the role from the prompts"
        ) from error
    return str(text)


def _encode(tokenizer: Tokenizer, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


@lru_cache(maxsize=32)
def _end_of_turn(tokenizer: Tokenizer, template: str) -> int:
    full = _render(tokenizer, _answered(_QUESTION, _ANSWER))
    after = _encode(tokenizer, full.rpartition(_ANSWER)[2])
    # Some templates mark the end with a token that no one declared special, so ask added ones too.
    special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    for token_id in after:
        if token_id in special:
            return int(token_id)
    raise InputError(
        "the chat template writes no end-of-turn token after an assistant's answer; "
        "end assistant messages with the EOS token"
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
