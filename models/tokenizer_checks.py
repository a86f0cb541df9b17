"""Whether tokenizer, model and their side files go together, seen before any work."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from transformers import AutoConfig

from data.errors import InputError
from models.chat import (
    Messages,
    Tokenizer,
    load_tokenizer,
    render_conversation,
    render_prompt,
)
from models.loading import once_for_a_folder
from models.silence import quiet
from models.templates import set_template
from models.text_pairs import load_reader
from models.training.padding import with_safe_padding

_ANSWER = "A red fig, and 12 more."
_TALK: Messages = [{"role": "user", "content": "Name three  fruits:\napple, pear and?"}]


def check_written_ids(
    tokenizer: Tokenizer, name: str, rows: int | None, conversations: Sequence[Messages]
) -> None:
    """InputError if the template writes a token for which the model, of `rows`, has no embedding.

    A tokenizer may know more tokens than the model as long as no conversation holds them.
    """
    for messages in conversations:
        whole = render_conversation(tokenizer, messages, _ANSWER)
        check_ids(tokenizer, name, rows, {*render_prompt(tokenizer, messages), *whole})


def check_ids(
    tokenizer: Tokenizer, name: str, rows: int | None, ids: set[int], who: str = "chat template"
) -> None:
    """InputError if one of the token ids, which `who` writes, lies beyond the embeddings."""
    beyond = sorted(token_id for token_id in ids if rows is not None and token_id >= rows)
    if beyond:
        token = tokenizer.convert_ids_to_tokens(beyond[0])
        raise InputError(
            f"{name}: the {who} writes {token!r} (id {beyond[0]}), the model has embeddings for "
            f"{rows} tokens; resize and train them, or use the tokenizer of its training"
        )


def check_padding(tokenizer: Tokenizer, name: str, rows: int | None) -> None:
    """InputError unless a model that is trained can be given padded batches."""
    if tokenizer.pad_token_id is not None:
        check_ids(tokenizer, name, rows, {tokenizer.pad_token_id}, "padding")


def check_reward_padding(
    tokenizer: Tokenizer, name: str, rows: int | None, counted_from: int | None
) -> None:
    """InputError unless there is a padding token apart from the one that ends a conversation.

    It must be the one a RoBERTa-like model counts its positions from, `counted_from`: a training
    saves the tokenizer's, and every position would be another one.
    """
    ends = {render_conversation(tokenizer, _TALK, _ANSWER)[-1]}
    try:
        safe = with_safe_padding(tokenizer, ends)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    check_padding(safe, name, rows)
    if counted_from is not None and safe.pad_token_id != counted_from:
        raise InputError(
            f"{name}: the tokenizer pads with id {safe.pad_token_id}, config.json with "
            f"{counted_from}, and the model counts its positions from there; save both together"
        )


@once_for_a_folder
@quiet()
def check_saved_again(
    model_dir: Path, field: str, trust_remote_code: bool, template: str | None = None
) -> None:
    """InputError unless configuration and tokenizer can be written, and then render as before.

    As after a training; found out now, and not when there is something to lose. `template`: the
    name or text of one that is set before.
    """
    if template is None:
        tokenizer = load_reader(model_dir, trust_remote_code)
    else:
        tokenizer = set_template(load_tokenizer(model_dir, trust_remote_code), template)
    with TemporaryDirectory() as folder:
        try:
            config = AutoConfig.from_pretrained(str(model_dir), trust_remote_code=trust_remote_code)
            config.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
            again = load_reader(folder, trust_remote_code)
        except Exception as error:
            reason = " ".join(str(error).split())[:250]
            raise InputError(
                f"{field}: the configuration or tokenizer of '{model_dir}' cannot be saved again "
                f"({type(error).__name__}: {reason}); correct it, or save the model with "
                "transformers"
            ) from error
        if _rendered(again) != _rendered(tokenizer):
            raise InputError(
                f"{field}: the tokenizer of '{model_dir}' renders otherwise once it was saved and "
                "loaded again; save it with tokenizer.save_pretrained of this transformers"
            )


def _rendered(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    return render_prompt(tokenizer, _TALK), render_conversation(tokenizer, _TALK, _ANSWER)
