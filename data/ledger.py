"""The ledger of a round: what became of every completion, prompt and pair, and that it adds up."""

from data.errors import CardinalityError
from data.measures import Entry


class Ledger(Entry):
    """What became of every completion and every prompt of a round; see `check_ledger`."""

    asked: int = 0  # prompts
    generated: int = 0  # completions
    usable: int = 0
    empty: int = 0
    truncated: int = 0
    unscored: int = 0  # longer than the student can read
    duplicate: int = 0
    no_candidates: int = 0  # prompts with fewer than two usable completions
    tied: int = 0  # prompts whose best and worst the student cannot tell apart
    paired: int = 0  # prompts with at least one pair
    mined: int = 0  # pairs
    agreed: int = 0  # the teacher confirms the student's order
    swapped: int = 0  # the teacher reverses it
    teacher_tied: int = 0
    inconsistent: int = 0  # the judge's verdict turned with the order of the two answers
    unjudged: int = 0  # longer than the teacher can read, or without a verdict of it
    unparsable: int = 0  # of these: no verdict in what a language model said, or it refused
    dropped_disagreement: int = 0
    below_margin: int = 0
    student_only: int = 0  # the chosen answer is not among its data set's best: policy.best_pairs
    kept_unsure: int = 0  # tied, inconsistent, too close or unjudged, in the matrix's order kept
    labelled: int = 0  # preferences
    reused: int = 0  # preferences of earlier rounds that were trained on again
    too_long: int = 0
    trained: int = 0
    retokenized: int = 0  # of the trained: a side is known as text alone, no policy sampled it here

    @property
    def swap_rate(self) -> float:
        """Share of the pairs whose order the teacher reversed."""
        return self.swapped / self.mined if self.mined else 0.0


def check_ledger(ledger: Ledger) -> None:
    """Every completion, prompt and pair is counted once, and no part exceeds its whole.

    Raises:
        CardinalityError: with the equation or inequality that does not hold.
    """
    x = ledger
    sums = {
        "generated = usable + empty + truncated + unscored + duplicate": (
            x.generated,
            x.usable + x.empty + x.truncated + x.unscored + x.duplicate,
        ),
        "asked = no_candidates + tied + paired": (x.asked, x.no_candidates + x.tied + x.paired),
        "mined = agreed + swapped + teacher_tied + inconsistent + unjudged": (
            x.mined,
            x.agreed + x.swapped + x.teacher_tied + x.inconsistent + x.unjudged,
        ),
        "mined + kept_unsure = labelled + teacher_tied + inconsistent + unjudged "
        "+ dropped_disagreement + below_margin + student_only": (
            x.mined + x.kept_unsure,
            x.labelled
            + (x.teacher_tied + x.inconsistent + x.unjudged)
            + (x.dropped_disagreement + x.below_margin + x.student_only),
        ),
        "labelled + reused = trained + too_long": (x.labelled + x.reused, x.trained + x.too_long),
    }
    for equation, (left, right) in sums.items():
        if left != right:
            raise CardinalityError(f"ledger: {equation} does not hold: {left} is not {right}")
    for part, whole in (("unparsable", "unjudged"), ("retokenized", "trained")):
        some, every = getattr(x, part), getattr(x, whole)
        if some > every:
            raise CardinalityError(
                f"ledger: {part} <= {whole} does not hold: {some} exceeds {every}"
            )
