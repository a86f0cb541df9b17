"""How many prompts a round draws and how many are held out, where the recipe leaves it open.

No torch here: the prompts' files are counted, which preflight reads again.
"""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from data.errors import InputError
from data.readers.prompts import read_prompt_file, without_prompts
from data.recipes.recipe import WORLD, PromptsConfig, WorldConfig
from flows.preflight.prompts import named_file

Sizes = dict[str, int]

_LEAST = 2  # prompts to hold out
_ONE_IN = {"test_size": 5, "dev_size": 10}  # one in so many prompts is held out, up to the most
_MOST: Sizes = {name: PromptsConfig.model_fields[name].default for name in _ONE_IN}
_ROUND: int = PromptsConfig.model_fields["per_round"].default
_NAMES = {"per_round", *_ONE_IN}


def left_out_sizes(config: PromptsConfig, made: WorldConfig | None, rounds: int) -> Sizes:
    """Values for the sizes that the recipe does not give and that its run needs, by dotted field.

    None where the prompts cannot be read: preflight says what is wrong with them.
    """
    world = config.path == WORLD
    given = {name: getattr(config, name) for name in config.model_fields_set if name in _NAMES}
    for name, path in (("dev_size", config.dev_path), ("test_size", config.test_path)):
        if world or path:
            given[name] = 0  # no prompts of the pool
    if given.keys() >= _NAMES:
        return {}
    try:
        available = made.prompts if world and made else pool_size(config)
    except InputError:
        return {}
    sizes = shared_out(available, rounds, given)
    return {f"prompts.{name}": sizes[name] for name in sorted(_NAMES - given.keys())}


def shared_out(available: int, rounds: int, given: Mapping[str, int]) -> Sizes:
    """So many prompts for test, dev and each round, in sum at most what is available.

    A tenth is held out for dev and a fifth for test, the rounds share the rest; never more than
    the defaults. Given sizes stay, and the others have what they leave, at least 2, 2 and 1.
    """
    wanted = {name: min(most, available // _ONE_IN[name]) for name, most in _MOST.items()}
    held = {name: given[name] for name in wanted if name in given}
    free = {name: size for name, size in wanted.items() if name not in given}
    room = available - sum(held.values()) - rounds * given.get("per_round", 1)
    scale = min(1, max(0, room) / (sum(free.values()) or 1))
    held |= {name: max(_LEAST, int(size * scale)) for name, size in free.items()}
    share = (available - sum(held.values())) // rounds
    return held | {"per_round": given.get("per_round", max(1, min(_ROUND, share)))}


def pool_size(config: PromptsConfig) -> int:
    """Different prompts of `prompts.path` that no held-out file has. Raises InputError."""
    names = {part: getattr(config, part) for part in ("path", "dev_path", "test_path")}
    files = [named_file(f"prompts.{part}", name) for part, name in names.items() if name]
    return _counted(*((file, *_state(file)) for file in files))


@lru_cache(maxsize=8)
def _counted(*files: tuple[str, int, int]) -> int:
    pool, *held_out = (read_prompt_file(name).table for name, *_ in files)
    return len(without_prompts(pool, held_out) if held_out else pool)


def _state(name: str) -> tuple[int, int]:
    """Size and time of a file; none of a `datasets` id."""
    path = Path(name)
    found = path.stat() if path.is_file() else None
    return (found.st_size, found.st_mtime_ns) if found else (0, 0)
