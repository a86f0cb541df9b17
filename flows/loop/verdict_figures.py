"""What language models that judge have said in a run, and what it cost: a section of the report."""

from collections.abc import Iterable

from data.sections import Column, Row, Section, Table
from data.summary import StageRecord

# By the first word of a call's role: what was compared, and whose the answers are on both sides.
_CALLS = {
    "label": ("pairs to learn from", "student's best", "its worst"),
    "gate": ("new policy against the last", "new", "last"),
    "dev": ("pairs of dev answers", "first", "second"),
    "test": ("policy against base", "policy", "base"),
}
_COUNTS = ("pairs", "judged", "ties", "turned", "unparsable", "too_long", "refused")
_COST = ("judge_calls", "judge_prompt_tokens", "judge_completion_tokens")
_TITLES = ("pairs", "judged", "ties", "turned", "no verdict", "too long", "refused")
_HINT = (
    "Each pair was asked in both orders. Turned: the verdict went with the place and not with the "
    "answer, which makes it a tie. No verdict: the judge's text did not end in one; nothing was "
    "guessed. Speaks to the judge: answers of either side that look as if they addressed it "
    "(instructions, pleas, forged verdicts or marks; docs/judges.md); they are counted, not "
    "punished. Calls and tokens are those that were paid when the verdicts were given, as the "
    "server counts them; what was found in the store has cost nothing again."
)


def section(records: Iterable[StageRecord]) -> Section | None:
    """Of the calls of all rounds; None where no language model has judged."""
    once: dict[str, StageRecord] = {}
    for record in records:
        if record.kind == "verdicts":
            once.setdefault(record.key, record)  # later it was found
    if not once:
        return None
    known = list(once.values())
    columns = [Column(title="round"), Column(title="compared")]
    columns += [Column(title=title, unit="count") for title in _TITLES]
    columns += [Column(title="speaks to the judge"), Column(title="calls", unit="count")]
    columns += [Column(title=f"tokens {way}", unit="count") for way in ("read", "written")]
    rows = [Row(cells=[str(record.round), *_cells(record)]) for record in known]
    sums = [_sum(known, name) for name in (*_COUNTS, *_COST)]
    spoken = _sum(known, "left_addressing", "right_addressing")
    cut = len(_COUNTS)
    total = ["", "in all", *sums[:cut], f"{spoken:,}", *sums[cut:]]
    rows.append(Row(cells=total, total=True))
    return Section(
        name="verdicts",
        title="What the language model said",
        hint=_HINT + _uncounted(known),
        blocks=[Table(title="Verdicts", columns=columns, rows=rows)],
    )


def _uncounted(known: Iterable[StageRecord]) -> str:
    """That of some calls the tokens are not known, so that the sums are no whole cost."""
    number = sum(record.counts.get("judge_uncounted_calls", 0) for record in known)
    if not number:
        return ""
    calls = "1 call" if number == 1 else f"{number:,} calls"
    return f" Of {calls} the server has not said the tokens; they are not in these sums."


def _cells(record: StageRecord) -> list[str | int]:
    word = record.role.partition(" ")[0]
    what, left, right = _CALLS.get(word, (record.role, "first", "second"))
    counts = record.counts
    spoken = [
        f"{name} {counts.get(f'{side}_addressing', 0):,}"
        for name, side in ((left, "left"), (right, "right"))
    ]
    return [
        what,
        *(counts.get(name, 0) for name in _COUNTS),
        ", ".join(spoken),
        *(counts.get(name, 0) for name in _COST),
    ]


def _sum(records: Iterable[StageRecord], *names: str) -> int:
    return sum(record.counts.get(name, 0) for record in records for name in names)
