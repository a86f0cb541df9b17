"""Models and files as a card names them, without the folders of this machine."""

from typing import Any

from data.paths import named_path
from data.recipes.judges import OPENAI
from data.recipes.recipe import NONE, SMALL, WORLD
from data.reward_functions import SHIPPED
from data.source_code import file_and_function

_WORLDS = {
    WORLD: "a small model of tsalign's embedded world",
    SMALL: "the smaller model of tsalign's embedded world",
    NONE: "none",
}


def shown(name: str | list[dict[str, Any]]) -> str:
    """A model or file as a card names it: a hub id, or the last part of a path of this machine.

    Of reward functions with weights, their sum.
    """
    if isinstance(name, list):
        return " + ".join(f"{one['weight']:g} x {shown(one['function'])}" for one in name)
    if name in _WORLDS:
        return _WORLDS[name]
    if name in SHIPPED:
        return f"{name} (a reward function of tsalign)"
    if file_and_function(name):
        return f"{named_path(name, 'name').name} (a reward function)"
    if is_hub_id(name) or name.partition(":")[0] == OPENAI:
        return name
    return f"{named_path(name, 'name').name} (a local folder or file)"


def is_hub_id(name: str) -> bool:
    """Whether a recipe's model is named as on a hub, and is no folder here."""
    if name in _WORLDS or name.startswith((".", "/", "~")) or name.count("/") != 1:
        return False
    return not named_path(name, "policy.model").exists()
