"""What a chat template writes around the words of a conversation, whatever the words are.

Most templates only copy words. Such a one is tried once for each sequence of roles, on words that
notice being looked at (`_Words`): what it writes around these it writes around all others. Where it
asks whether they begin or end with a text, hold it or equal it, the answer is no and the text is
kept: the frame is of words that do not hold it.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from jinja2 import Environment, TemplateSyntaxError, nodes

from models.chat_template import by_template
from models.short_text import counts_bytes, has_second_bos
from models.special_text import Tokenizer

# What a template may be made of: nothing here makes other text of words without their noticing, as
# a macro does, or `~`, which may stand where text is written and nowhere else.
_FOLLOWED = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.If, nodes.For, nodes.Assign),
    *(nodes.Name, nodes.NSRef, nodes.Const, nodes.Getattr, nodes.Getitem, nodes.Slice),
    *(nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.CondExpr, nodes.Test),
    *(nodes.Add, nodes.Sub, nodes.Mod, nodes.List, nodes.Tuple, nodes.Dict, nodes.Pair),
    *(nodes.Filter, nodes.Call, nodes.Keyword, nodes.Break, nodes.Continue),
)
_FILTERS = {"trim", "string", "default", "length", "list", "items", "first", "last", "tojson"}
_FUNCTIONS = {"raise_exception", "strftime_now", "namespace", "range"}
_WITH_CONSTANTS = {"startswith", "endswith", "split", "strip", "lstrip", "rstrip"}
_METHODS = _WITH_CONSTANTS | {"append", "items", "keys", "values", "get"}
_SIGNS = 'It\'s (4): "x" & <y>.\n\n- A  b\\\t- é 漢 🙂'  # what a filter might replace


class Frame(NamedTuple):
    """What is written around the words of conversations with the same roles."""

    tokens: int | None  # of it at most; a byte of the words is one more at most. None: not known
    unless: frozenset[str]  # it is another where one of these texts is in the words


class _LookedError(Exception):
    """A template does with words what cannot be followed."""


class _Words(str):
    """Words that can be copied, joined and stripped; what else is done with them is noticed."""

    seen: set[str | None]  # texts that were asked for; None: what cannot be followed
    joined: bool  # with other text

    @classmethod
    def of(cls, text: str, seen: set[str | None], joined: bool = False) -> "_Words":
        words = cls(text)
        words.seen, words.joined = seen, joined
        return words

    def _look(self, *_: object, **__: object) -> Any:
        self.seen.add(None)  # some of jinja's tests go on after an error
        raise _LookedError

    def _asked(self, text: object, *more: object) -> bool:
        if type(text) is not str or more or self.joined:
            self._look()
        self.seen.add(str(text))
        return False

    def __str__(self) -> str:
        return self

    def __bool__(self) -> bool:  # blank words are looked at one by one
        return True

    def __add__(self, other: str) -> "_Words":
        return _Words.of(str.__add__(self, other), self.seen, joined=True)

    def __radd__(self, other: str) -> "_Words":
        return _Words.of(str.__add__(other, self), self.seen, joined=True)

    def _stripped(self, signs: str | None = None) -> "_Words":
        return self if signs is None else self._look()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and bool(other.strip()) and self._asked(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    strip = lstrip = rstrip = _stripped
    startswith = endswith = __contains__ = _asked  # type: ignore[assignment]
    __hash__ = None  # type: ignore[assignment]


for _name in {*dir(str), "__reversed__"} - {*dir(object), *vars(_Words)} | {
    *("__lt__", "__le__", "__gt__", "__ge__", "__format__")
}:
    setattr(_Words, _name, _Words._look)


def frame(tokenizer: Tokenizer, roles: tuple[str, ...], answer: str | None = None) -> Frame | None:
    """The frame of conversations of these roles, with this answer or else to be answered.

    None where the words must be looked at: the template does so, leaves some out or changes them,
    or something is wrong with it.
    """
    template = str(tokenizer.chat_template)
    return _frame(tokenizer, template, roles, answer) if _is_followed(template) else None


@lru_cache(maxsize=256)
def _frame(
    tokenizer: Tokenizer, template: str, roles: tuple[str, ...], answer: str | None
) -> Frame | None:
    seen: set[str | None] = set()
    marks = [f"qZ{number}q" for number in range(len(roles))]
    words = [f"{mark} {_SIGNS} {mark}" for mark in marks]
    talk: list[dict[str, str]] = [
        {"role": role, "content": _Words.of(text, seen)}
        for role, text in zip(roles, words, strict=True)
    ]
    if answer is not None:
        talk.append({"role": "assistant", "content": answer})
    try:
        (text,) = by_template(tokenizer, [talk], generation_prompt=answer is None)
    except Exception:  # whatever it is, it is found and told where the words are looked at
        return None
    if None in seen or not _are_copied(text, roles, marks, words):
        return None
    if has_second_bos(tokenizer, text) or (answer is not None and answer not in text):
        return None
    return Frame(_most_tokens(tokenizer, text, words), frozenset(filter(None, seen)))


def _are_copied(
    text: str, roles: Sequence[str], marks: Sequence[str], words: Sequence[str]
) -> bool:
    """Whether the words of each turn are in the text, once and as they were."""
    for role, mark, one in zip(roles, marks, words, strict=True):
        times = text.count(one)
        # Assistant turns may lose their reasoning on purpose; nothing else may be lost.
        if text.count(mark) != 2 * times or times > 1 or (not times and role != "assistant"):
            return False
    return True


def _most_tokens(tokenizer: Tokenizer, text: str, words: Sequence[str]) -> int | None:
    """How many tokens the text has at most, less one for every byte of the words."""
    if not counts_bytes(tokenizer):
        return None
    added = tokenizer.added_tokens_decoder.values()
    alone = sorted({t.content for t in added if t.special and not t.single_word}, key=len)
    pattern = "|".join(re.escape(one) for one in reversed(alone) if one) or "(?!)"
    between = re.split(pattern, text)
    tokens = len(between) - 1  # a special token is cut out before all else
    for part in filter(None, between):
        held = [one for one in words if one in part]
        if held:
            tokens += len(part.encode()) - sum(len(one.encode()) for one in held)
        else:
            tokens += len(tokenizer(part, add_special_tokens=False)["input_ids"])
    return tokens


@lru_cache(maxsize=32)
def _is_followed(template: str) -> bool:
    """Whether words cannot get lost from sight in the template."""
    try:
        tree = Environment(extensions=["jinja2.ext.loopcontrols"]).parse(template)
    except TemplateSyntaxError:  # or a tag of transformers' own
        return False
    return all(map(_follows, _nodes(tree)))


def _nodes(tree: nodes.Node) -> Iterator[nodes.Node]:
    for node in tree.iter_child_nodes():
        written = isinstance(tree, nodes.Output) and isinstance(node, nodes.Concat)
        if not written:
            yield node
        yield from _nodes(node)


def _follows(node: nodes.Node) -> bool:
    if isinstance(node, nodes.Filter):
        return node.name in _FILTERS
    if isinstance(node, nodes.Compare):  # a constant does not tell that words were sought in it
        sought = [one.expr for one in node.ops if one.op in ("in", "notin")]
        return not any(isinstance(one, nodes.Const) for one in sought)
    if isinstance(node, nodes.Call):
        called = node.node
        if isinstance(called, nodes.Name):
            return called.name in _FUNCTIONS
        constant = all(isinstance(one, nodes.Const) for one in node.args)
        method = called.attr if isinstance(called, nodes.Getattr) else ""
        return method in _METHODS and (constant or method not in _WITH_CONSTANTS)
    return isinstance(node, _FOLLOWED)
