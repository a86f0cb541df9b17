"""One completion of a server that speaks OpenAI's API, asked for until it is there."""

from typing import Any

import httpx

from data.errors import InputError
from models.engines import patient


def complete(client: httpx.Client, url: str, request: dict[str, Any], field: str) -> dict[str, Any]:
    """The choice that a server makes of a request; asking twice must give the same.

    Args:
        url: Of the server, with "/v1".
        field: Of the recipe, that asks.

    Raises:
        InputError: the server refuses the request, or answers what is no completion.
        ServerError: it stays away or busy.
    """
    try:
        answer = patient.post(client, f"{url}/completions", request)
    except httpx.TransportError as error:
        raise patient.away(field, url, error, client) from error
    if answer.is_client_error and not patient.is_busy(answer):
        raise InputError(
            f"{field}: the server at {url} refuses a request: {patient.shown(answer.text, client)}"
        )
    if not answer.is_success:
        raise patient.away(field, url, answer, client)
    try:
        choice: dict[str, Any] = answer.json()["choices"][0]
    except (ValueError, LookupError, TypeError):
        raise InputError(
            f"{field}: the server at {url} answers what is no completion: "
            f"'{patient.shown(answer.text, client)}'; check its address"
        ) from None
    return choice
