"""The server behind the openai engine and judges: where it is, who may ask, what it says it is.

OPENAI_BASE_URL names the server (".../v1"), OPENAI_API_KEY its key, OPENAI_MODEL the served name
(else the first it lists). `field` is what of a recipe asks for the server, for messages.
"""

import os
from typing import Any

import httpx

from data.errors import InputError
from data.nearest import did_you_mean
from data.recipes.secrets import has_userinfo

_SECONDS = 60.0  # for what a server knows without computing
_ENGINE = "generate.engine"


def base_url(field: str = _ENGINE) -> str:
    """Where the server is, without a last slash. Raises InputError for what is no address."""
    url = os.environ.get("OPENAI_BASE_URL", "").rstrip("/")
    if not url.startswith(("http://", "https://")):
        raise InputError(
            f"{field}: openai needs a server; set OPENAI_BASE_URL, e.g. http://localhost:8000/v1"
        )
    if has_userinfo(url):
        raise InputError("OPENAI_BASE_URL: holds a user or password; use OPENAI_API_KEY")
    if "?" in url:  # may be a key, and the address is kept
        raise InputError("OPENAI_BASE_URL: holds a query; use OPENAI_API_KEY for a key")
    return url


def root_url(field: str = _ENGINE) -> str:
    return base_url(field).removesuffix("/v1")


def headers() -> dict[str, str]:
    key = os.environ.get("OPENAI_API_KEY")
    return {"Authorization": f"Bearer {key}"} if key else {}


def version(field: str = _ENGINE) -> str:
    """The server's version as it says, or "unknown". Raises InputError if none answers."""
    answer = _get(f"{root_url(field)}/version", field)
    return str(_json(answer).get("version", "unknown")) if answer.is_success else "unknown"


def model(field: str = _ENGINE) -> str:
    """The model to ask for. Raises InputError if the server lists none."""
    named = os.environ.get("OPENAI_MODEL")
    if named:
        return named
    listed = _listed(field)
    if not listed:
        raise InputError(f"{field}: {base_url(field)}/models lists no model; set OPENAI_MODEL")
    return listed[0]


def check_listed(name: str, field: str) -> None:
    """InputError if the server refuses the key, or lists its models and this is none of them."""
    listed = _listed(field, silent=True)
    if listed and name not in listed:
        near = did_you_mean(name, listed) or "; it lists " + ", ".join(listed[:5])
        raise InputError(f"{field}: the server at {base_url(field)} has no model '{name}'{near}")


def identity(named: str | None = None, field: str = _ENGINE) -> str:
    """Version, model and address, which decide what is sampled; the key is not in it."""
    return f"{version(field)} {named or model(field)} {base_url(field)}"


def _listed(field: str, silent: bool = False) -> list[str]:
    """Names of the server's models; `silent`: none where it has no list at all."""
    answer = _get(f"{base_url(field)}/models", field)
    if not answer.is_success:
        if silent and answer.status_code in (404, 405, 501):
            return []
        raise InputError(
            f"{field}: {base_url(field)}/models answers HTTP {answer.status_code}; "
            "check OPENAI_BASE_URL and OPENAI_API_KEY"
        )
    served = _json(answer).get("data")
    entries = served if isinstance(served, list) else []
    return [str(entry["id"]) for entry in entries if isinstance(entry, dict) and "id" in entry]


def _get(url: str, field: str) -> httpx.Response:
    try:
        return httpx.get(url, headers=headers(), timeout=_SECONDS)
    except httpx.HTTPError as error:
        raise InputError(
            f"{field}: no server answers at {root_url(field)} ({error}); "
            "start it or correct OPENAI_BASE_URL"
        ) from error


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        content = answer.json()
    except ValueError:
        content = None
    return content if isinstance(content, dict) else {}
