"""The server behind the openai engine: where it is, who may ask it, and what it says it is.

OPENAI_BASE_URL names the server (".../v1"), OPENAI_API_KEY its key, OPENAI_MODEL the served name
(else the first it lists).
"""

import os
from typing import Any

import httpx

from data.errors import InputError
from data.recipes.secrets import has_userinfo

_SECONDS = 60.0  # for what a server knows without computing


def base_url() -> str:
    """Where the server is, without a last slash. Raises InputError for what is no address."""
    url = os.environ.get("OPENAI_BASE_URL", "").rstrip("/")
    if not url.startswith(("http://", "https://")):
        raise InputError(
            "generate.engine: openai needs a server; set OPENAI_BASE_URL, e.g. "
            "http://localhost:8000/v1"
        )
    if has_userinfo(url):
        raise InputError("OPENAI_BASE_URL: holds a user or password; use OPENAI_API_KEY")
    if "?" in url:  # may be a key, and the address is kept
        raise InputError("OPENAI_BASE_URL: holds a query; use OPENAI_API_KEY for a key")
    return url


def root_url() -> str:
    return base_url().removesuffix("/v1")


def headers() -> dict[str, str]:
    key = os.environ.get("OPENAI_API_KEY")
    return {"Authorization": f"Bearer {key}"} if key else {}


def version() -> str:
    """The server's version as it says, or "unknown". Raises InputError if none answers."""
    answer = _get(f"{root_url()}/version")
    return str(_json(answer).get("version", "unknown")) if answer.is_success else "unknown"


def model() -> str:
    """The model to ask for. Raises InputError if the server lists none."""
    named = os.environ.get("OPENAI_MODEL")
    if named:
        return named
    answer = _get(f"{base_url()}/models")
    if not answer.is_success:
        raise InputError(
            f"generate.engine: {base_url()}/models answers HTTP {answer.status_code}; "
            "check OPENAI_BASE_URL and OPENAI_API_KEY"
        )
    served = _json(answer).get("data")
    if not (isinstance(served, list) and served and isinstance(served[0], dict)):
        raise InputError(f"generate.engine: {base_url()}/models lists no model; set OPENAI_MODEL")
    return str(served[0].get("id"))


def identity() -> str:
    """Version, model and address, which decide what is sampled; the key is not in it."""
    return f"{version()} {model()} {base_url()}"


def _get(url: str) -> httpx.Response:
    try:
        return httpx.get(url, headers=headers(), timeout=_SECONDS)
    except httpx.HTTPError as error:
        raise InputError(
            f"generate.engine: no server answers at {root_url()} ({error}); "
            "start it or correct OPENAI_BASE_URL"
        ) from error


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        content = answer.json()
    except ValueError:
        content = None
    return content if isinstance(content, dict) else {}
