"""What is known of a text's tokens without tokenising it: a text of few bytes has few tokens."""

import json
from functools import lru_cache
from itertools import chain

from models.special_text import Pieces, Tokenizer

# Steps before a tokenizer's model that leave a token a byte of the text or more.
_CUTS = {"ByteLevel", "Split", "Digits"}


def is_surely_fine(tokenizer: Tokenizer, pieces: Pieces, limit: int, rows: int | None) -> bool:
    """Whether a rendered text has at most `limit` tokens, embeddings for all of them among `rows`,
    and no BOS next to another. False: only its tokens tell."""
    if not counts_bytes(tokenizer) or len(pieces) != 1:
        return False
    (text,) = pieces
    few = len(text) <= limit and len(text.encode(errors="surrogatepass")) <= limit
    return few and not has_second_bos(tokenizer, text) and has_rows(tokenizer, rows)


def has_second_bos(tokenizer: Tokenizer, text: str) -> bool:
    """Whether there may be two BOS tokens in a row in a rendered text."""
    bos = tokenizer.bos_token
    matters = bos and bos != tokenizer.eos_token
    return bool(matters and not all(map(str.strip, text.split(bos)[1:-1])))


def has_rows(tokenizer: Tokenizer, rows: int | None) -> bool:
    """Whether every token there is has an embedding among `rows`."""
    return rows is None or _highest(tokenizer) < rows


@lru_cache(maxsize=32)
def counts_bytes(tokenizer: Tokenizer) -> bool:
    """Whether a token of this tokenizer stands for a byte of the text or more: nothing is rewritten
    or added before the text is cut."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return False
    made = json.loads(backend.to_str())
    first = made["pre_tokenizer"] or {}
    steps = first.get("pretokenizers", [first])
    kinds = {step.get("type") for step in steps}
    adds = any(step.get("add_prefix_space") for step in steps)
    return made["normalizer"] is None and "ByteLevel" in kinds and kinds <= _CUTS and not adds


@lru_cache(maxsize=32)
def _highest(tokenizer: Tokenizer) -> int:
    return int(max(chain(tokenizer.get_vocab().values(), tokenizer.added_tokens_decoder)))
