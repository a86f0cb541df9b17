"""Text of special tokens in what people and models write: kept from becoming control tokens.

A tokenizer takes "<|im_end|>" for the end of a turn wherever it stands, so that a prompt could end
its own turn and begin another's. Such text gets a mark after its first character before the chat
template sees it; at the marks the rendered text is cut, and its pieces are encoded one by one.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

Messages = Sequence[Mapping[str, str]]
Tokenizer = Any  # transformers' PreTrainedTokenizerBase, which it does not type
# A text, cut inside every part that would be taken for a special token.
Pieces = list[str]


def special_text(tokenizer: Tokenizer, messages: Messages) -> str | None:
    """The first text in the messages that the tokenizer would take for a special token."""
    for message in messages:
        found = _special(tokenizer, message["role"]).search(message["content"])
        if found:
            return str(found[0] + next(filter(None, found.groups())))
    return None


def marked(tokenizer: Tokenizer, messages: Messages) -> tuple[list[dict[str, str]], str]:
    """The messages with a mark inside every text that would be taken for a special token.

    The mark is a character that occurs in none of them, for private use where one is left; it is
    empty where nothing is marked. Templates see the mark, so none can put the text together again.
    """
    if special_text(tokenizer, messages) is None:
        return [dict(message) for message in messages], ""
    used = {*str(tokenizer.chat_template), *chain(*(m["content"] for m in messages))}
    mark = next(sign for sign in map(chr, range(0xE000, 0x110000)) if sign not in used)
    return [
        {**m, "content": _special(tokenizer, m["role"]).sub(rf"\g<0>{mark}", m["content"])}
        for m in messages
    ], mark


def cut_special(tokenizer: Tokenizer, completion: str) -> Pieces:
    """The pieces of an assistant's words."""
    (message,), mark = marked(tokenizer, [{"role": "assistant", "content": completion}])
    return message["content"].split(mark) if mark else [completion]


def special_texts(tokenizer: Tokenizer) -> set[str]:
    """Every text that could be taken for a special token in anyone's words, and more of none."""
    return _texts_of(tokenizer, str(tokenizer.chat_template), assistant=False)


def _special(tokenizer: Tokenizer, role: str) -> re.Pattern[str]:
    """Matches the first character of every text of a special token; the rest is in a group."""
    return _special_of(tokenizer, str(tokenizer.chat_template), role == "assistant")


def _texts_of(tokenizer: Tokenizer, template: str, assistant: bool) -> set[str]:
    added = tokenizer.added_tokens_decoder.values()
    texts = {*tokenizer.all_special_tokens, *(t.content for t in added if t.special)}
    if not assistant:
        # Whatever the template marks turns with. In an assistant's turn templates look for the
        # marks of reasoning, which are its own; a word, such as a role's name, marks nothing.
        texts |= {t.content for t in added if t.content in template and not t.content.isalnum()}
    return {text for text in texts if len(text.strip()) > 1}


@lru_cache(maxsize=64)
def _special_of(tokenizer: Tokenizer, template: str, assistant: bool) -> re.Pattern[str]:
    rests = defaultdict(list)  # by first character, which a search can skip to
    for text in sorted(_texts_of(tokenizer, template, assistant), key=len, reverse=True):
        rests[text[0]].append(re.escape(text[1:]))
    starts = [f"{re.escape(first)}(?=({'|'.join(rest)}))" for first, rest in rests.items()]
    return re.compile("|".join(starts) or "(?!)")
