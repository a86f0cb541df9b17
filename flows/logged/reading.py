"""What the files of logged completions hold, looked at before a run."""

from data.errors import InputError
from data.readers.logged import held_out_split, judged_only, read_logged
from data.readers.logged_pairs import judged_pairs
from data.readers.seen import Counted, Prompt
from data.recipes.logged import LoggedConfig


def check_logs(config: LoggedConfig, min_margin: float) -> list[Prompt]:
    """The recorded prompts; pairs to learn from and pairs to measure agreement on.

    Raises:
        InputError: files that cannot be read, or without such pairs.
    """
    logged = read_logged(config)
    candidates, _ = judged_only(logged.completions, logged.judgments)
    pairs = judged_pairs(candidates, logged.judgments, min_margin)
    paired = set(pairs["prompt_id"].to_pylist())
    if not paired:
        raise InputError(
            f"logged.judgments: of {len(logged.prompts)} prompts none has two completions that the "
            "judge tells apart"
            + (
                f" by more than teacher.min_margin, {min_margin:g}; lower it or"
                if min_margin
                else ";"
            )
            + " record rewards that differ"
        )
    parts = held_out_split(logged.prompts, config.held_out, config.seed)
    for part, goal in zip(parts, ("learn from", "hold out"), strict=True):
        if not paired & set(part["prompt_id"].to_pylist()):
            raise InputError(
                f"logged.held_out: of the {len(part)} prompts to {goal} none has two completions "
                f"that the judge tells apart, of all {len(logged.prompts)} only {len(paired)} "
                "have; change the share or logged.seed, or record more judgments"
            )
    return [Prompt(str(config.completions), m) for m in logged.prompts["messages"].to_pylist()]


def counted_logs(config: LoggedConfig) -> Counted:
    """How many prompts are there to learn from and to hold out. Raises InputError."""
    logged = read_logged(config)
    parts = held_out_split(logged.prompts, config.held_out, config.seed)
    names = ("to learn from", "held out")
    return Counted(
        parts={name: len(part) for name, part in zip(names, parts, strict=True)},
        rows={
            "import_logged_prompts": len(logged.prompts),
            "import_logged_completions": len(logged.completions),
            "import_judgments": len(logged.judgments),
        },
    )
