"""Secrets have no place in recipes, which end up in summaries, reports and databases."""

import re
from typing import Any

_NAME = re.compile(r"api_?key|secret|passw|credential|(^|_)(auth|access|hf|bearer)_?token", re.I)
_USERINFO = re.compile(r"\w://[^/\s]*@")


def has_userinfo(url: str) -> bool:
    """Whether a URL carries a user, or user and password, before its host."""
    return bool(_USERINFO.search(url))


def find_secret(values: Any) -> str | None:
    """Dotted place of a field named like a secret or a URL with a password in it, or None."""
    seen: set[int] = set()  # YAML aliases make one value stand in many places, even in itself

    def search(value: Any, place: str) -> str | None:
        if isinstance(value, str):
            return place if has_userinfo(value) else None
        if not isinstance(value, dict | list) or id(value) in seen:
            return None
        seen.add(id(value))
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for name, inner in items:
            where = f"{place}.{name}".removeprefix(".")
            if isinstance(name, str) and _NAME.search(name):
                return where
            found = search(inner, where)
            if found:
                return found
        return None

    return search(values, "")
