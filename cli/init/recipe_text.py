"""A recipe as YAML that a person reads: sections in order, every derived value with its reason."""

import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

_WIDTH = 90
_ORDER = (
    *("recipe", "run", "rounds", "labels", "answers"),
    *("world", "policy", "teacher", "student", "prompts", "matrix"),
    *("generate", "mine", "gate", "evaluate", "runtime"),
)
_FIRST = ("model", "path", "test_path")  # of a section: what the user brings
_ABOUT = {
    "run": "Names the folder of the results, runs/NAME.",
    "policy": "The language model that is aligned.",
    "teacher": "Whose judgment counts: it puts the answers that are learned from in order.",
    "student": "The small reward model that screens the answers, and learns from the teacher.",
    "prompts": "What the policy is asked.",
    "generate": "How it answers.",
    "evaluate": "How the win rate over the base policy is measured.",
    "runtime": "What changes speed and memory.",
    "world": "The embedded world: it makes prompts, policy, teacher and student itself.",
}


def recipe_text(head: str, values: Mapping[str, Any], reasons: Mapping[str, str]) -> str:
    """YAML of the values, given by dotted field; `reasons` become comments above them."""
    sections: dict[str, dict[str, Any]] = {}
    for dotted, value in values.items():
        section, _, rest = dotted.partition(".")
        sections.setdefault(section, {})[rest] = value
    lines = [*comment(head)]
    for name in sorted(sections, key=_ORDER.index):
        fields = _named_first(sections[name])
        about = reasons.get(name) or _ABOUT.get(name)
        if "" in fields:  # a value of the recipe itself
            lines += [*comment(about or ""), f"{name}: {scalar(fields[''])}"]
            continue
        own = {rest: reasons.get(f"{name}.{rest}") for rest in fields}
        lines += ["", *comment(about or ""), f"{name}:"]
        lines += _fields(fields, own, "  ")
    return "\n".join(lines) + "\n"


def _named_first(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: fields[name] for name in (*_FIRST, *fields) if name in fields}


def _fields(
    fields: Mapping[str, Any], reasons: Mapping[str, str | None], indent: str
) -> Iterable[str]:
    """Fields of a section, those of one in it together."""
    done = set()
    for dotted, value in fields.items():
        first, inner, _ = dotted.partition(".")
        if not inner:
            yield from comment(reasons[dotted] or "", indent)
            yield from _value(first, value, indent)
        elif first not in done:
            done.add(first)
            start = f"{first}."
            within = {k.removeprefix(start): v for k, v in fields.items() if k.startswith(start)}
            yield f"{indent}{first}:"
            why = {name: reasons[f"{start}{name}"] for name in within}
            yield from _fields(within, why, f"{indent}  ")


def _value(name: str, value: Any, indent: str) -> Iterable[str]:
    if isinstance(value, list):
        yield f"{indent}{name}:"
        yield from (f"{indent}  - {scalar(item)}" for item in value)
    else:
        yield f"{indent}{name}: {scalar(value)}"


def scalar(value: Any) -> str:
    """A value on one line of YAML."""
    text: str = yaml.safe_dump(
        value, default_flow_style=True, width=float("inf"), allow_unicode=True, sort_keys=False
    )
    return text.removesuffix("\n").removesuffix("\n...")


def comment(text: str, indent: str = "") -> list[str]:
    """Comment lines of a text, wrapped; its empty lines stay."""
    width = _WIDTH - len(indent) - 2
    wrapped = [line for part in text.splitlines() for line in textwrap.wrap(part, width) or [""]]
    return [f"{indent}# {line}".rstrip() for line in wrapped]
