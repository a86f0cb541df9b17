"""What the first half of a round left over, and whether there are pairs to train on.

Counts of the ledger in words; where nothing is left, the cause that took most and its remedy.
"""

from data.ledger import Ledger
from flows.loop.recipe import AlignRecipe
from flows.loop.wording import TOO_LONG, unread

FEW = 0.05  # of the prompts

# Fields of the ledger, and what they count in words.
_COMPLETIONS = {
    "truncated": "truncated",
    "empty": "empty",
    "unscored": "{unread_by_scorer} the {scorer}",
    "duplicate": "repeated",
}
_PROMPTS = {"tied": "prompts tied"}
_PAIRS = {
    "teacher_tied": "pairs that the {judge} scores alike",
    "inconsistent": "pairs on which the {judge} turns with their order",
    "unjudged": "pairs {unread_by_judge} the {judge}",
    "unparsable": "pairs without a verdict of the {judge}",
    "dropped_disagreement": "pairs in which the {judge} disagrees",
    "below_margin": "pairs below teacher.min_margin",
    "student_only": "pairs for the student alone",
}


def lost(ledger: Ledger, recipe: AlignRecipe) -> str:
    """ "60 truncated, 12 prompts tied"; empty where nothing was lost."""
    counts = _counts(ledger)
    words = _COMPLETIONS | _PROMPTS | _PAIRS
    named = {"scorer": _scorer(recipe), "judge": _judge(recipe)}
    named |= {f"unread_by_{who}": _unread(recipe, name) for who, name in list(named.items())}
    return ", ".join(f"{n:,} {words[field].format(**named)}" for field, n in counts.items() if n)


def mined_line(ledger: Ledger, recipe: AlignRecipe) -> str:
    """What became of the round's prompts, in one line."""
    left_over = lost(ledger, recipe)
    pairs = f"{ledger.labelled:,} pairs of {ledger.asked:,} prompts"
    return pairs + (f"; left over: {left_over}" if left_over else "")


def few_line(ledger: Ledger, recipe: AlignRecipe, pairs: int) -> str:
    """A warning where there is little to train on; `pairs` counts those of earlier rounds too."""
    batch = recipe.policy.batch_size
    if pairs < batch:
        return f"warning: {pairs} pairs are less than one batch of policy.batch_size {batch}"
    if ledger.labelled < FEW * ledger.asked:
        return f"warning: only {ledger.labelled:,} of {ledger.asked:,} prompts gave a pair"
    return ""


def reason(ledger: Ledger, recipe: AlignRecipe) -> str:
    """Why no pair is left, and what to do about it."""
    counts = _counts(ledger)
    if ledger.mined:
        suspects = {field: counts[field] for field in _PAIRS}
    elif ledger.tied >= ledger.no_candidates:
        suspects = {"tied": ledger.tied}
    else:
        suspects = {field: counts[field] for field in _COMPLETIONS}
    cause = max(suspects, key=lambda field: suspects[field])
    return (
        f"no pair is left of {ledger.generated:,} completions: "
        f"{lost(ledger, recipe) or 'there are fewer than two for any prompt'} "
        f"({_remedy(cause, recipe)})"
    )


def _counts(ledger: Ledger) -> dict[str, int]:
    counts = {field: getattr(ledger, field) for field in (*_COMPLETIONS, *_PROMPTS, *_PAIRS)}
    if ledger.unjudged == ledger.kept_unsure:  # the matrix without a judge: nothing is lost
        counts["unjudged"] = counts["unparsable"] = 0
    counts["unjudged"] -= counts["unparsable"]
    return counts


def _scorer(recipe: AlignRecipe) -> str:
    """Who scores all completions."""
    return "teacher" if recipe.labels == "teacher" else "student"


def _judge(recipe: AlignRecipe) -> str:
    """Who orders the pairs."""
    return {"student": "student", "matrix": "judge"}.get(recipe.labels, "teacher")


def _unread(recipe: AlignRecipe, who: str) -> str:
    """What answers are that the teacher, or a student, does not judge."""
    return unread(recipe.teacher.model) if who == "teacher" else TOO_LONG


def _remedy(cause: str, recipe: AlignRecipe) -> str:
    generate, matrix = recipe.generate, recipe.matrix
    longer = "take one that reads more, or lower generate.max_tokens"
    failing = "see why the teacher's reward functions fail"
    unscored, unjudged = (
        longer if _unread(recipe, name) == TOO_LONG else failing
        for name in (_scorer(recipe), _judge(recipe))
    )
    remedies = {
        "truncated": f"generate.max_tokens is {generate.max_tokens}: raise it, or set "
        "mine.drop_truncated=false",
        "empty": "the policy ends its answers at once: take one that is tuned to chat, or see its "
        "generation_config.json for the tokens that end an answer",
        "unscored": unscored,
        "duplicate": "the cells give the same answers: compare other models"
        if matrix
        else f"generate.temperature is {generate.temperature:g}: raise it, the policy gives the "
        "same answer again and again",
        "tied": "matrix.positives and matrix.axes compare none of the cells that answered"
        if matrix
        else f"mine.min_margin is {recipe.mine.min_margin:g}: lower it"
        if recipe.mine.min_margin
        else f"the {_scorer(recipe)} gives all answers to a prompt the same reward: take another",
        "teacher_tied": f"the {_judge(recipe)} cannot tell the answers apart: take another",
        "inconsistent": "take another judge, or set matrix.correction.on_unsure=keep",
        "unjudged": unjudged,
        "unparsable": "read what it said in the artifact of verdicts; raise "
        "teacher.asking.max_tokens, word teacher.asking.template otherwise, or take another",
        "dropped_disagreement": "matrix.correction.on_reversed is drop: set it to swap"
        if matrix
        else "teacher.on_disagreement is drop: set it to swap, or take a better student",
        "below_margin": f"teacher.min_margin is {recipe.teacher.min_margin:g}: lower it",
        "student_only": f"policy.best_pairs is {recipe.policy.best_pairs:g}: raise it",
    }
    return remedies[cause]
