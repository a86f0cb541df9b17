"""A padding token that no conversation ends with, for models that read their last other token."""

import copy

from data.errors import InputError
from models.chat import Tokenizer


def with_safe_padding(tokenizer: Tokenizer, ends: set[int]) -> Tokenizer:
    """The tokenizer with a padding token that is none of the ids that conversations end with.

    Decoders read the score at the last token that is not padding. Where EOS is the padding and
    conversations end with it, that is one token too early, and an engine that reads the true
    last token disagrees.
    """
    if tokenizer.pad_token_id is not None and tokenizer.pad_token_id not in ends:
        return tokenizer
    safe = copy.deepcopy(tokenizer)
    others = [tokenizer.unk_token, tokenizer.bos_token, *tokenizer.all_special_tokens]
    for token in others:
        if token is not None and tokenizer.convert_tokens_to_ids(token) not in ends:
            safe.pad_token = token
            return safe
    raise InputError(
        "the tokenizer has no padding token apart from the one that ends a conversation; "
        "set pad_token to another special token and save it"
    )
