"""How many prompts a round draws and how many are held out, where the recipe leaves it open.

No torch here: the prompts' files are counted, which preflight reads again.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from data.errors import InputError
from data.recipes.prompts import PARTS, PromptsConfig
from data.recipes.recipe import WORLD, WorldConfig
from flows.preflight.prompts import Parted, apart, named_file, read_files, split_off

Sizes = dict[str, int]

_LEAST = 2  # prompts to hold out
_ONE_IN = {"test_size": 5, "dev_size": 10}  # one in so many prompts is held out, up to the most
_MOST: Sizes = {name: PromptsConfig.model_fields[name].default for name in _ONE_IN}
_ROUND: int = PromptsConfig.model_fields["per_round"].default
_NAMES = {"per_round", *_ONE_IN}


def left_out_sizes(
    config: PromptsConfig, made: WorldConfig | None, rounds: int, seed: int
) -> Sizes:
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
        if world and made:
            sizes = shared_out(made.prompts, rounds, given)
        else:
            sizes = dict(
                _fitting(config, rounds, tuple(sorted(given.items())), seed, *_states(config))
            )
    except InputError:
        return {}
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


def fitting(config: PromptsConfig, found: Parted, rounds: int, given: Sizes, seed: int) -> Sizes:
    """Sizes for what is there, less what is too like the prompts that they hold out.

    Raises:
        InputError: fewer prompts than the held-out parts take.
    """
    sizes = shared_out(found.available, rounds, given)
    if "per_round" in given:
        return sizes
    left = split_off(config, found, sizes, seed).available
    return sizes | {"per_round": max(1, min(sizes["per_round"], left // rounds))}


@lru_cache(maxsize=8)
def _fitting(
    config: PromptsConfig,
    rounds: int,
    given: tuple[tuple[str, int], ...],
    seed: int,
    *files: tuple[str, int, int],
) -> tuple[tuple[str, int], ...]:
    found = apart(config, read_files(config))
    return tuple(fitting(config, found, rounds, dict(given), seed).items())


def _states(config: PromptsConfig) -> Iterator[tuple[str, int, int]]:
    """Name, size and time of every file; of a `datasets` id its name alone."""
    for part in PARTS:
        for field, one in config.sources(part).items():
            path = Path(named_file(field, one.path))
            found = path.stat() if path.exists() else None
            yield str(path), *((found.st_size, found.st_mtime_ns) if found else (0, 0))
