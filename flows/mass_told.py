"""The alarm of every flow that distils on the tokens that were kept of a teacher."""

from collections.abc import Mapping, Sequence

from data.measures import Warned

FALL = 0.05  # of the policy's mass on the kept tokens, in one training: the alarm


def alarm(falls: Mapping[str, float], remedy: str, rounds: Sequence[int]) -> list[Warned]:
    """A warning for trainings that took probability away from what the teacher would say.

    Args:
        falls: Of the policy's probability of the kept tokens in a training, by when that was, as
            "in round 2".
        remedy: What to do, the end of a sentence.
        rounds: Those of the falls that are above `FALL`.
    """
    said = [f"by {100 * fall:.0f} points {when}" for when, fall in falls.items() if fall > FALL]
    if not said:
        return []
    return [
        Warned(
            section="distillation",
            rule="kept_mass",
            found="The policy's probability of the tokens kept of the teacher fell "
            f"{', '.join(said)}.",
            reason="A loss over these tokens alone can push it to others, which nobody looks at: "
            f"{remedy}.",
            rounds=list(rounds),
        )
    ]
