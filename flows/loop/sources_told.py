"""What became of each source's prompts before the first round: a part of the report's ledger."""

from collections.abc import Sequence

from data.sections import Block, Counts, Level, Part
from data.summary import PromptSource

_PARTS = {  # of PromptSource; the first is kept
    "pool": "to train on",
    "held_out": "held out to judge, or equal to a prompt that is",
    "exact": "equal to one held out but for case and white space",
    "shared": "share eight words in a row with one held out",
    "repeated": "of an earlier source too",
}


def blocks(found: Sequence[PromptSource]) -> list[Block]:
    """A bar for each source; nothing of prompts that are no user's own."""
    levels = [
        Level(
            title="prompts" if len(found) == 1 else f"prompts of {one.name}",
            total=one.prompts,
            parts=[
                Part(name=said, n=getattr(one, field))
                for field, said in _PARTS.items()
                if getattr(one, field) or field == "pool"
            ],
        )
        for one in found
    ]
    return [Counts(title="Before the first round", levels=levels)] if levels else []
