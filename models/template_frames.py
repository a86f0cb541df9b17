"""What a chat template writes around the words of a conversation, whatever the words are.

Most templates only copy words. Such a one is tried once for each sequence of roles, on words that
notice being looked at (`_Words`): what it writes around these it writes around all others. Where it
asks whether they begin or end with a text, hold it or equal it, the answer is no and the text is
kept: the frame is of words that do not hold it.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from jinja2 import Environment, TemplateSyntaxError, nodes

from models import today
from models.chat_template import by_template
from models.short_text import counts_bytes, has_second_bos
from models.special_text import Tokenizer

# What a template may be made of: nothing here makes other text of words without their noticing, as
# a macro does.
_FOLLOWED = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.If, nodes.For, nodes.Assign),
    *(nodes.Name, nodes.NSRef, nodes.Const, nodes.Getattr, nodes.Getitem, nodes.Slice),
    *(nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.CondExpr, nodes.Add, nodes.Sub),
    *(nodes.Neg, nodes.Pos, nodes.List, nodes.Tuple, nodes.Dict, nodes.Pair, nodes.Keyword),
    *(nodes.Break, nodes.Continue),
)
_FILTERS = {"trim", "default", "length", "list", "items", "first", "last"}
_BY_TEST = {"select": 0, "reject": 0, "selectattr": 1, "rejectattr": 1}  # which argument it is
_EQUAL = {"equalto", "eq", "==", "ne", "!=", "defined", "undefined"}
# Their text no longer notices. Where it is written, and nothing else is done with it, it is seen.
_WRITTEN = {"tojson", "join", "string"}
_TESTS = {
    *("defined", "undefined", "none", "string", "mapping", "sequence", "iterable", "number"),
    *("boolean", "true", "false", "integer", "odd", "even", "eq", "equalto", "ne"),
}
_FUNCTIONS = {"raise_exception", "namespace", "range"}
# Of constants alone, as a text's own method does not notice what words it is given.
_METHODS = {"startswith", "endswith", "split", "strip", "lstrip", "rstrip", "strftime_now"} | {
    *("get", "items", "keys", "values")
}
_OF_TEXTS = frozenset(dir(str))
# What a filter might replace.
_SIGNS = 'It\'s (4): "x" & <y> 9 %d of {it}.\n\n- A  b\\\t- é 漢 🙂'
_TRACKED = re.compile(r"\{%(-?)\s*(end)?generation\s*(-?)%\}")  # a tag of transformers' own


class Frame(NamedTuple):
    """What is written around the words of conversations with the same roles."""

    tokens: int | None  # of it at most; a byte of the words is one more at most. None: not known
    unless: frozenset[str]  # it is another where one of these texts is in the words


class _LookedError(Exception):
    """A template does with words what cannot be followed."""


class _Words(str):
    """Words that can be copied, joined and stripped; what else is done with them is noticed."""

    # Jinja's sandbox shows templates no names that begin so.
    _seen: set[str | None]  # texts that were asked for; None: what cannot be followed
    _joined: bool  # with other text

    def _look(self, *_: object, **__: object) -> Any:
        self._seen.add(None)  # some of jinja's tests go on after an error
        raise _LookedError

    def _asked(self, text: object, *more: object) -> bool:
        if type(text) is not str or not text or more or self._joined:
            self._look()
        self._seen.add(str(text))
        return False

    def __str__(self) -> str:
        return self

    def __bool__(self) -> bool:  # blank words are looked at one by one
        return True

    def __add__(self, other: str) -> "_Words":
        return _words(str.__add__(self, other), self._seen, joined=True)

    def __radd__(self, other: str) -> "_Words":
        return _words(str.__add__(other, self), self._seen, joined=True)

    def _stripped(self, signs: str | None = None) -> "_Words":
        if signs is not None:
            self._look()
        # Another object: lists of one and the same are equal without a look.
        return _words(str.__add__(self, ""), self._seen, self._joined)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and bool(other.strip()) and self._asked(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    strip = lstrip = rstrip = _stripped
    startswith = endswith = __contains__ = _asked  # type: ignore[assignment]
    __hash__ = _look  # type: ignore[assignment]


def _words(text: str, seen: set[str | None], joined: bool = False) -> _Words:
    words = _Words(text)
    words._seen, words._joined = seen, joined
    return words


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
    if not _is_followed(template):
        return None
    return _frame(tokenizer, template, roles, answer, today.current())


@lru_cache(maxsize=256)
def _frame(
    tokenizer: Tokenizer, template: str, roles: tuple[str, ...], answer: str | None, _: str | None
) -> Frame | None:
    seen: set[str | None] = set()
    marks = [f"qZ{number}q" for number in range(len(roles))]
    words = [f"{mark} {_SIGNS} {mark}" for mark in marks]
    talk: list[dict[str, str]] = [
        {"role": role, "content": _words(text, seen)}
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
    if answer is not None and answer not in text:
        return None
    bos = str(tokenizer.bos_token or "")
    if has_second_bos(tokenizer, text) or (bos and _may_become(bos, text, words)):
        return None
    return Frame(_most_tokens(tokenizer, text, words), frozenset(filter(None, seen)))


def _may_become(special: str, text: str, words: Sequence[str]) -> bool:
    """Whether some words could make this special text with what is written around them."""
    places = sorted((text.find(one), one) for one in words if one in text)
    for number, (place, one) in enumerate(places):
        before, after = text[:place], text[place + len(one) :]
        between = after[: places[number + 1][0] - len(text)] if number + 1 < len(places) else None
        if between is not None and between in special:
            return True
        parts = range(1, len(special))
        if any(before.endswith(special[:n]) or after.startswith(special[n:]) for n in parts):
            return True
    return False


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
    known = sorted({one.content for one in added if one.content}, key=len, reverse=True)
    changed = any(one.lstrip or one.rstrip or one.single_word or one.normalized for one in added)
    own = len(text.encode()) - sum(len(one.encode()) for one in words if one in text)
    if changed or any(_may_become(one, text, words) for one in known):
        return own  # a byte is a token at most
    between = re.split("|".join(map(re.escape, known)) or "(?!)", text)
    tokens = len(between) - 1  # an added token is cut out before all else
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
    plain = _TRACKED.sub(
        lambda tag: f"{{%{tag[1]} {'endif' if tag[2] else 'if true'} {tag[3]}%}}", template
    )
    try:
        tree = Environment(extensions=["jinja2.ext.loopcontrols"]).parse(plain)
    except TemplateSyntaxError:
        return False
    return _follows(tree)


def _follows(node: nodes.Node) -> bool:
    """Whether words are in sight in all that this part of a template does."""
    if isinstance(node, nodes.Output):
        return all(map(_written, node.nodes))
    return _is_known(node) and all(map(_follows, node.iter_child_nodes()))


def _written(node: nodes.Node) -> bool:
    """The same of what is written as it is."""
    if isinstance(node, (nodes.Concat, nodes.Add)):
        return all(map(_written, node.iter_child_nodes()))
    if isinstance(node, nodes.CondExpr):
        parts = filter(None, (node.expr1, node.expr2))
        return _follows(node.test) and all(map(_written, parts))
    if isinstance(node, nodes.Filter) and node.name in _WRITTEN:
        value, *others = node.iter_child_nodes()
        return _written(value) and all(map(_follows, others))
    return _follows(node)


def _is_known(node: nodes.Node) -> bool:
    if isinstance(node, (nodes.Filter, nodes.Call)) and (node.dyn_args or node.dyn_kwargs):
        return False
    if isinstance(node, nodes.Filter):
        return _filters(node)
    if isinstance(node, nodes.Test):
        return node.name in _TESTS
    if isinstance(node, nodes.Mod):  # of numbers; that of a text writes words into it
        return isinstance(node.right, nodes.Const) and isinstance(node.right.value, int)
    if isinstance(node, nodes.Compare):
        return _compares(node)
    if isinstance(node, nodes.Call):
        return _calls(node)
    if isinstance(node, nodes.Name):  # which a template may give another meaning
        return node.ctx == "load" or node.name not in _FUNCTIONS | _METHODS
    return not _takes_a_method(node) and isinstance(node, _FOLLOWED)


def _filters(node: nodes.Filter) -> bool:
    place = _BY_TEST.get(node.name, len(node.args))
    tests = [_constant(one) in _EQUAL for one in node.args[place : place + 1]]
    constant = all(isinstance(one, nodes.Const) for one in _given(node))
    return any(tests) or node.name == "default" or (node.name in _FILTERS and constant)


def _calls(node: nodes.Call) -> bool:
    called = node.node
    if isinstance(called, nodes.Name) and called.name in _FUNCTIONS:
        return True
    name = called.name if isinstance(called, nodes.Name) else getattr(called, "attr", "")
    return name in _METHODS and all(isinstance(one, nodes.Const) for one in _given(node))


def _given(node: nodes.Filter | nodes.Call) -> list[nodes.Expr]:
    return [*node.args, *(one.value for one in node.kwargs)]


def _takes_a_method(node: nodes.Node) -> bool:
    """Whether a method of a text may be taken to be called under another name."""
    if isinstance(node, nodes.Getitem):
        return _constant(node.arg) in _OF_TEXTS
    if not isinstance(node, nodes.Getattr) or node.attr in _METHODS:
        return False
    of_loop = isinstance(node.node, nodes.Name) and node.node.name == "loop"
    return node.attr in _OF_TEXTS and not of_loop


def _constant(node: nodes.Node) -> object:
    return node.value if isinstance(node, nodes.Const) else None


def _compares(node: nodes.Compare) -> bool:
    """Words that are sought in a text do not notice it: only constants are, or anything in a list
    that stands there."""
    sought: list[nodes.Node] = [node.expr, *(one.expr for one in node.ops)]
    return all(
        one.op not in ("in", "notin")
        or isinstance(sought[at], nodes.Const)
        or isinstance(one.expr, (nodes.List, nodes.Tuple))
        for at, one in enumerate(node.ops)
    )
