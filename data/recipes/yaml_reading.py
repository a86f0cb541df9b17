"""YAML as people write it: 1e-5 is a number, a date is text, a key may come only once.

Recipes are small. Limits on the size of the file and of merged mappings keep a wrong file (model
weights) or a hostile one (`<<` of `<<` of ...) from taking minutes or all memory.
"""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from data.errors import InputError
from data.files import check_regular

_MERGE = "tag:yaml.org,2002:merge"
_FLOAT = "tag:yaml.org,2002:float"
_TIMESTAMP = "tag:yaml.org,2002:timestamp"
_LARGEST = 100_000  # bytes of a file
_MOST_KEYS = 1_000  # of one mapping with what is merged into it


class _Loader(yaml.SafeLoader):
    # YAML 1.1 reads 5e-6 as text and 2026-01-01 as a date; both surprise in a recipe.
    yaml_implicit_resolvers = {
        first: [(tag, regexp) for tag, regexp in resolvers if tag not in (_FLOAT, _TIMESTAMP)]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            if key_node.tag == _MERGE or not isinstance(key_node, yaml.ScalarNode):
                continue
            key = (key_node.tag, key_node.value)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f"key {key_node.value!r} comes twice", problem_mark=key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        if len(node.value) > _MOST_KEYS:
            raise yaml.constructor.ConstructorError(
                problem=f"a mapping of more than {_MOST_KEYS:_} keys", problem_mark=node.start_mark
            )

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        value: int = super().construct_yaml_int(node)
        if abs(value) >= 2**63:
            raise yaml.constructor.ConstructorError(
                problem="a whole number of more than 64 bits", problem_mark=node.start_mark
            )
        return value


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
_Loader.add_implicit_resolver(
    _FLOAT,
    re.compile(
        r"""[-+]?(?:\d[\d_]*\.[\d_]*|\.\d[\d_]*|\d[\d_]*(?=[eE]))(?:[eE][-+]?\d+)?\Z
        |[-+]?\.(?:inf|Inf|INF)\Z|\.(?:nan|NaN|NAN)\Z""",
        re.VERBOSE,
    ),
    list("-+0123456789."),
)


def parse_yaml(text: str) -> Any:
    """The value of one YAML document. Raises yaml.YAMLError, whatever is wrong with the text."""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError:
        raise
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        # PyYAML lets these escape from explicit tags such as `!!int ""` and from deep nesting.
        raise yaml.YAMLError(str(error)) from error


def read_yaml(path: str | Path) -> dict:
    """The mapping in a YAML file. Raises InputError naming the file and line."""
    check_regular(path)
    try:
        with Path(path).open("rb") as file:
            data = file.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise InputError(f"{path}: is larger than {_LARGEST:_} bytes; name a recipe (YAML)")
        text = data.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = "not UTF-8 text" if isinstance(error, UnicodeError) else str(error)
        raise InputError(f"{path}: cannot be read ({reason}); check the path") from error
    try:
        values = parse_yaml(text)
    except yaml.YAMLError as error:
        raise InputError(f"{path}: {_one_line(error)}") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: must be a mapping of keys to values, such as `rounds: 3`")
    return values


def _one_line(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "not YAML"
    where = f"line {mark.line + 1}: " if mark else ""
    return f"{where}{' '.join(str(problem).split())}; correct the YAML"
