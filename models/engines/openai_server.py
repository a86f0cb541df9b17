"""A server that speaks OpenAI's API: where it is, who may ask, what it says it is.

That of the openai engine and judges is named by OPENAI_BASE_URL (".../v1"), with OPENAI_API_KEY its
key and OPENAI_MODEL the served name (else the first it lists). A teacher's is named by the recipe.
`field` is what of a recipe asks for the server, for messages.
"""

import os
from dataclasses import dataclass
from typing import Any

import httpx

from data.errors import InputError
from data.nearest import did_you_mean
from data.recipes.secrets import has_userinfo
from models.served import KEY

_SECONDS = 60.0  # for what a server knows without computing
_ENGINE = "generate.engine"


@dataclass(frozen=True)
class Server:
    """A server by its address, without a last slash, and how messages speak of it."""

    url: str
    field: str
    named_by: str = "OPENAI_BASE_URL"
    key: str = "OPENAI_API_KEY"  # the variable that holds it

    @property
    def root(self) -> str:
        return self.url.removesuffix("/v1")

    @property
    def headers(self) -> dict[str, str]:
        key = os.environ.get(self.key)
        return {"Authorization": f"Bearer {key}"} if key else {}

    def version(self) -> str:
        """As the server says it, or "unknown". Raises InputError if none answers."""
        answer = self._get(f"{self.root}/version")
        return str(_json(answer).get("version", "unknown")) if answer.is_success else "unknown"

    def listed(self, silent: bool = False) -> dict[str, dict[str, Any]]:
        """What the server says of its models, by name; `silent`: none where it has no list at all.

        Raises InputError if it refuses the key, or none answers.
        """
        answer = self._get(f"{self.url}/models")
        if not answer.is_success:
            if silent and answer.status_code in (404, 405, 501):
                return {}
            raise InputError(
                f"{self.field}: {self.url}/models answers HTTP {answer.status_code}; "
                f"check {self.named_by} and {self.key}"
            )
        served = _json(answer).get("data")
        entries = served if isinstance(served, list) else []
        return {str(one["id"]): one for one in entries if isinstance(one, dict) and "id" in one}

    def check_listed(self, name: str) -> None:
        """InputError if the server lists its models and this is none of them."""
        listed = self.listed(silent=True)
        if listed and name not in listed:
            near = did_you_mean(name, listed) or "; it lists " + ", ".join(list(listed)[:5])
            raise InputError(f"{self.field}: the server at {self.url} has no model '{name}'{near}")

    def _get(self, url: str) -> httpx.Response:
        try:
            return httpx.get(url, headers=self.headers, timeout=_SECONDS)
        except httpx.HTTPError as error:
            raise InputError(
                f"{self.field}: no server answers at {self.root} ({error}); "
                f"start it or correct {self.named_by}"
            ) from error


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


def of_environment(field: str = _ENGINE) -> Server:
    """That of the environment. Raises InputError for what is no address."""
    return Server(base_url(field), field)


def model(field: str = _ENGINE) -> str:
    """The model to ask for. Raises InputError if the server lists none."""
    named = os.environ.get("OPENAI_MODEL")
    if named:
        return named
    listed = of_environment(field).listed()
    if not listed:
        raise InputError(f"{field}: {base_url(field)}/models lists no model; set OPENAI_MODEL")
    return next(iter(listed))


def check_listed(name: str, field: str) -> None:
    """InputError if the server refuses the key, or lists its models and this is none of them."""
    of_environment(field).check_listed(name)


def identity(named: str | None = None, field: str = _ENGINE) -> str:
    """Version, model and address, which decide what is sampled; the key is not in it."""
    return f"{of_environment(field).version()} {named or model(field)} {base_url(field)}"


def of_teacher(url: str, field: str) -> Server:
    """The server at an address that a recipe's field gives."""
    return Server(url, field, named_by="the address", key=KEY)


def said_by(url: str, named: str | None, field: str) -> tuple[str, str]:
    """Version of a teacher's server and name of its model: `named`, or else the only one it lists.

    Raises InputError if none answers, or it is not known which of its models is meant.
    """
    there = of_teacher(url, field)
    if named:
        there.check_listed(named)
        return there.version(), named
    listed = list(there.listed())
    if len(listed) != 1:
        models = "several models, " + ", ".join(listed[:5]) if listed else "no model"
        raise InputError(
            f"{there.field}: {there.url}/models lists {models}; name the one that is meant as "
            "served_model beside it"
        )
    return there.version(), listed[0]


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        content = answer.json()
    except ValueError:
        content = None
    return content if isinstance(content, dict) else {}
