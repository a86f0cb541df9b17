"""The one place where messages become token ids.

Every model renders with its own tokenizer's chat template. The template writes all special tokens,
so the tokenizer adds none: that is how a second BOS gets in. Text of a special token within a
message is plain text: it is cut in two before it is encoded, so that nobody's words end a turn.

What a policy sampled is kept as token ids. A completion known as text alone is the part of the
template's full rendering that follows the generation prompt, up to the end-of-turn token.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import chain, islice, pairwise
from pathlib import Path

from transformers import AutoTokenizer

from data.errors import InputError
from models.chat_template import one_line, render, render_all
from models.foreign_words import drop_foreign_words
from models.limits import memory
from models.short_text import is_surely_fine
from models.special_text import Messages, Pieces, Tokenizer, cut_special

Completion = str | Sequence[int]  # its text, or the token ids that the policy sampled

_QUESTION: Messages = [{"role": "user", "content": "a"}]
ANSWER = "qZq"  # to try templates with: unlikely to be part of one
# Long and of many signs, for templates that cut, replace or change case; none that marks reasoning.
_PROBE = " ".join([ANSWER, "It's (4): \"x\" & 'y'.\n\n- A  b\n- é 漢 🙂", "word " * 2000, ANSWER])
_WORDS = ("Yes, 4.", " Yes, 4.", "One\n\n  Two — é 漢 🙂")
_BREAK = "\n"  # tokenizers do not join it with a word that follows

_AT_A_TIME = 128  # conversations
_MOST_MEMORY = 2**32  # bytes more than the process has


def load_tokenizer(model_dir: str | Path, trust_remote_code: bool = False) -> Tokenizer:
    """The tokenizer of a Hugging Face directory or hub id; InputError if there is none.

    Added words that the model has no embedding for are text to it.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            str(model_dir), trust_remote_code=trust_remote_code
        )
    except Exception as error:  # the tokenizers library raises no narrower class
        raise InputError(
            f"no tokenizer can be loaded from '{model_dir}': {one_line(error)}; "
            "save one there with tokenizer.save_pretrained"
        ) from error
    drop_foreign_words(tokenizer, model_dir)
    return tokenizer


def render_prompt(tokenizer: Tokenizer, messages: Messages) -> list[int]:
    """Token ids of the conversation, ending where the assistant's answer begins."""
    return _encode(tokenizer, render(tokenizer, messages, generation_prompt=True))


def render_prompts(tokenizer: Tokenizer, conversations: Sequence[Messages]) -> list[list[int]]:
    """`render_prompt` of many conversations, several times as fast."""
    rendered = render_all(tokenizer, conversations, generation_prompt=True)
    return _encode_all(tokenizer, list(rendered))


def render_conversation(tokenizer: Tokenizer, messages: Messages, completion: str) -> list[int]:
    """Token ids of the template's full rendering, nothing cut: what a reward model reads."""
    return _encode(tokenizer, render(tokenizer, _answered(messages, completion)))


def render_conversations(
    tokenizer: Tokenizer, items: Sequence[tuple[Messages, str]]
) -> list[list[int]]:
    """`render_conversation` of many pairs of messages and completion, half again as fast."""
    ids: list[list[int]] = []
    for start in range(0, len(items), _AT_A_TIME):
        talks = [_answered(*item) for item in items[start : start + _AT_A_TIME]]
        ids += _encode_all(tokenizer, list(render_all(tokenizer, talks)))
    return ids


def token_ids(
    tokenizer: Tokenizer, messages: Messages, completion: Completion
) -> tuple[list[int], list[int]]:
    """Token ids of the prompt and of the completion: as sampled, or else as `render_completion`.

    A sampled completion that was cut off has no end-of-turn token, for it never ended.
    """
    if isinstance(completion, str):
        return render_completion(tokenizer, messages, completion)
    return render_prompt(tokenizer, messages), list(completion)


def render_completion(
    tokenizer: Tokenizer, messages: Messages, completion: str
) -> tuple[list[int], list[int]]:
    """Token ids of the prompt and of the completion, which ends with the end-of-turn token.

    Their concatenation is the full rendering less what the template writes after the end of
    turn (a line break in many), which a policy is never asked to produce. What a template adds to
    the answer apart from white space, or changes in it, is left out: the policy did not write it.
    """
    prompt = render(tokenizer, messages, generation_prompt=True)
    full = render(tokenizer, _answered(messages, completion))
    prompt_ids, end = _encode(tokenizer, prompt), end_of_turn(tokenizer)
    tail = _after(prompt, full)
    if _added_text(tokenizer, tail, completion) is not None:
        return prompt_ids, [*_continuation(tokenizer, cut_special(tokenizer, completion)), end]
    full_ids = _encode(tokenizer, full)
    if full_ids[: len(prompt_ids)] == prompt_ids:
        completion_ids = full_ids[len(prompt_ids) :]
    else:  # a token spans the border; the policy continues the prompt's tokens, so split there
        completion_ids = _continuation(tokenizer, tail)
    if end not in completion_ids:
        raise InputError("the chat template does not end this completion with an end-of-turn token")
    last = len(completion_ids) - completion_ids[::-1].index(end)
    return prompt_ids, completion_ids[:last]


def decode_completion(tokenizer: Tokenizer, token_ids: Sequence[int]) -> str:
    """Text of generated token ids without special tokens, spaces left as they are.

    Decoded as the continuation of other words, which it is: at the start of a text Llama's and
    Gemma's decoders drop a space that was sampled. One that the template writes goes (Mistral).
    """
    head_ids, head = _head(tokenizer)
    text = _decode(tokenizer, [*head_ids, *token_ids])
    text = text[len(head) :] if text.startswith(head) else _decode(tokenizer, token_ids)
    return text.removeprefix(_lead(tokenizer, str(tokenizer.chat_template or "")))


def answer_change(tokenizer: Tokenizer) -> str | None:
    """What the template makes of an answer "…", where that is more than white space around it."""
    prompt = render(tokenizer, _QUESTION, generation_prompt=True)
    tail = _after(prompt, render(tokenizer, _answered(_QUESTION, _PROBE)))
    written = _added_text(tokenizer, tail, _PROBE)
    return written and written.replace(_PROBE, "…")


def round_trip_change(tokenizer: Tokenizer) -> str | None:
    """An answer that does not come back from its own tokens as text, or from its text as tokens."""
    for text in _WORDS:
        ids = _continuation(tokenizer, [text])
        back = decode_completion(tokenizer, ids)
        if back != text or _continuation(tokenizer, [back]) != ids:
            return text
    return None


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


def check_chat_template(
    tokenizer: Tokenizer, name: str, sample_messages: Messages, writes: bool = True
) -> None:
    """InputError unless the template renders such a conversation whole, without a doubled BOS.

    `name` is the recipe's field, for the message, e.g. "policy.model". Of a model that `writes`
    answers the template must end them; one that reads them must be shown what was written.
    """
    if not tokenizer.chat_template:
        raise InputError(f"{name}: the tokenizer has no chat template; set one and save it")
    try:
        with memory(_MOST_MEMORY):
            render(tokenizer, _answered(sample_messages, ANSWER))
        if writes:
            rendered = render(tokenizer, sample_messages, generation_prompt=True)
            ids = list(chain(*render_completion(tokenizer, sample_messages, ANSWER)))
        else:
            rendered = render(tokenizer, _answered(sample_messages, _PROBE))
            ids = _encode(tokenizer, rendered)
            if _PROBE not in "".join(rendered):
                raise InputError(
                    "the chat template drops or changes the answer's text, so that other text "
                    "would be judged; use a template that writes the answer as it is"
                )
        _check_prompt(tokenizer, sample_messages, rendered, ids)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error


def check_prompts(
    tokenizer: Tokenizer,
    name: str,
    prompts: Sequence[tuple[str, Messages]],
    rows: int | None,
    limit: int = 0,
) -> list[int]:
    """Length in tokens of every prompt, given with its place; 0 of one whose text alone tells that
    it is within the `limit`, which need not be tokenised.

    Raises:
        InputError: one is not rendered whole, or has a doubled BOS or a token beyond the model's
            `rows` embeddings.
    """
    talks = [messages for _, messages in prompts]
    texts = list(render_all(tokenizer, talks, generation_prompt=True))
    unsure = [pieces for pieces in texts if not is_surely_fine(tokenizer, pieces, limit, rows)]
    encoded = dict(zip(map(id, unsure), _encode_all(tokenizer, unsure), strict=True))
    lengths = []
    for (place, messages), pieces in zip(prompts, texts, strict=True):
        ids = encoded.get(id(pieces), [])
        try:
            _check_prompt(tokenizer, messages, pieces, ids)
        except InputError as error:
            raise InputError(f"{name}: {error} ({place})") from error
        if rows is not None and max(ids, default=0) >= rows:
            raise InputError(
                f"{name}: the tokenizer gives token {max(ids)}, the model has embeddings for "
                f"{rows}; use the tokenizer that the model was trained with ({place})"
            )
        lengths.append(len(ids))
    return lengths


def check_vocabulary(tokenizer: Tokenizer, name: str, rows: int | None) -> None:
    """InputError if the tokenizer has words that the model, of `rows` embeddings, does not have.

    Tokens added to a tokenizer for other members of a model family may lie beyond.
    """
    if rows is not None and tokenizer.vocab_size > rows:
        raise InputError(
            f"{name}: the tokenizer has {tokenizer.vocab_size} tokens, the model embeddings for "
            f"{rows}; use the tokenizer that the model was trained with"
        )


def check_read_prompts(
    tokenizer: Tokenizer, name: str, prompts: Iterable[tuple[str, Messages]]
) -> None:
    """InputError unless a model that reads conversations is shown every prompt, given with its
    place, and its answer whole."""
    left = iter(prompts)
    while part := list(islice(left, _AT_A_TIME)):
        texts = render_all(tokenizer, [_answered(messages, ANSWER) for _, messages in part])
        for place, messages in part:
            try:
                rendered = next(texts)
                _check_content(messages, rendered)
                if ANSWER not in "".join(rendered):
                    raise InputError("the chat template drops the answer; use another template")
            except InputError as error:
                raise InputError(f"{name}: {error} ({place})") from error


def check_some_fit(
    tokenizer: Tokenizer, prompts: Iterable[tuple[str, Messages]], limit: int, field: str
) -> None:
    """InputError if no prompt, with an answer of a letter, fits into the `limit` of a training."""
    shortest = 0
    for _, messages in prompts:
        length = len(render_conversation(tokenizer, messages, "a"))
        if length <= limit:
            return
        shortest = min(shortest or length, length)
    if shortest:
        raise InputError(
            f"{field}: {limit} tokens are less than every prompt has with an answer, the shortest "
            f"{shortest}, so that nothing could be learnt; raise it or bring shorter prompts"
        )


def _check_prompt(
    tokenizer: Tokenizer, messages: Messages, pieces: Pieces, ids: Sequence[int]
) -> None:
    _check_content(messages, pieces)
    # Some templates begin every turn with it (Llama 2, SmolLM2); twice in a row is a mistake.
    bos = tokenizer.bos_token_id
    if bos not in (None, tokenizer.eos_token_id) and (bos, bos) in pairwise(ids):
        raise InputError("the chat template writes 2 BOS tokens in a row; leave one")


def _check_content(messages: Messages, pieces: Pieces) -> None:
    text = "".join(pieces)
    for message in messages:
        # Assistant turns may lose their reasoning on purpose; nothing else may be lost.
        if message["role"] != "assistant" and message["content"].strip() not in text:
            raise InputError(
                f"the chat template drops the content of role '{message['role']}'; "
                "use a template that knows this role or remove it from the prompts"
            )


def _answered(messages: Messages, completion: str) -> list[Mapping[str, str]]:
    return [*messages, {"role": "assistant", "content": completion}]


def _after(prompt: Pieces, full: Pieces) -> Pieces:
    """The pieces of `full` that follow the prompt. Raises InputError where it is no beginning."""
    start = len("".join(prompt))
    if "".join(full)[:start] != "".join(prompt):
        raise InputError(
            "the chat template's generation prompt does not begin the answered conversation; use "
            "one without text of its own, or prompts without the role system if it moves that one"
        )
    rest = list(full)
    while start > len(rest[0]):
        start -= len(rest.pop(0))
    return [rest[0][start:], *rest[1:]]


def _added_text(tokenizer: Tokenizer, tail: Pieces, completion: str) -> str | None:
    """What a template wrote for a completion, if it is not that, white space and the end."""
    end = str(tokenizer.convert_ids_to_tokens(end_of_turn(tokenizer)))
    text, _, _ = "".join(tail).rpartition(end)
    return None if text.strip() == completion.strip() else text


def _encode(tokenizer: Tokenizer, pieces: Pieces) -> list[int]:
    return _encode_all(tokenizer, [pieces])[0]


def _encode_all(tokenizer: Tokenizer, texts: Sequence[Pieces]) -> list[list[int]]:
    if not texts:
        return []
    firsts = tokenizer([pieces[0] for pieces in texts], add_special_tokens=False)["input_ids"]
    return [
        [*ids, *_continuation(tokenizer, pieces[1:])]
        for ids, pieces in zip(firsts, texts, strict=True)
    ]


def _continuation(tokenizer: Tokenizer, pieces: Pieces) -> list[int]:
    """Token ids of pieces that go on a text: without the space that some tokenizers begin with."""
    ids: list[int] = []
    for piece in pieces:
        head, whole = (_encode(tokenizer, [text]) for text in (_BREAK, _BREAK + piece))
        follows = whole[: len(head)] == head
        ids += whole[len(head) :] if follows else _encode(tokenizer, [piece])
    return ids


@lru_cache(maxsize=32)
def _head(tokenizer: Tokenizer) -> tuple[list[int], str]:
    ids = _encode(tokenizer, ["a"])
    return ids, _decode(tokenizer, ids)


@lru_cache(maxsize=32)
def _lead(tokenizer: Tokenizer, template: str) -> str:
    """White space that the template writes between the generation prompt and an answer."""
    try:
        prompt = render(tokenizer, _QUESTION, generation_prompt=True)
        tail = _after(prompt, render(tokenizer, _answered(_QUESTION, ANSWER)))
    except InputError:  # it is refused elsewhere
        return ""
    lead, _, after = "".join(tail).partition(ANSWER)
    return lead if after and not lead.strip() else ""


def _decode(tokenizer: Tokenizer, token_ids: Sequence[int]) -> str:
    text = tokenizer.decode(
        list(token_ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
    )
    return str(text)


@lru_cache(maxsize=32)
def _end_of_turn(tokenizer: Tokenizer, template: str) -> int:
    full = "".join(render(tokenizer, _answered(_QUESTION, ANSWER)))
    start = full.lower().rfind(ANSWER.lower())  # some templates change the case
    if start < 0:
        raise InputError("the chat template drops an assistant's answer; use one that writes it")
    after = _encode(tokenizer, [full[start + len(ANSWER) :]])
    # Some templates mark the end with a token that no one declared special, so ask added ones too.
    special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    for token_id in after:
        if token_id in special:
            return int(token_id)
    raise InputError(
        "the chat template writes no end-of-turn token after an assistant's answer; "
        "end assistant messages with the EOS token"
    )
