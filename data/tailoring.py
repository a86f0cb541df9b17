"""What ARTE makes of one-shot scores: pairs for the teacher, and drafts to learn from.

Liu et al., "Aligning Teacher with Student Preferences for Tailored Training Data Generation"
(arXiv 2406.19227), sections 3.3 and 3.4. A draft's score is the share of items that the student
answers with it as the one example; a question's is the mean over its drafts.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

Choice = Literal["best", "random", "fixed", "style"]


class Draft(NamedTuple):
    """A question with a rationale, by their names."""

    draft: str
    question: str
    task: str
    style: str
    score: float


class Pair(NamedTuple):
    """Two names, the better first, and their scores."""

    task: str
    chosen: str
    rejected: str
    scores: tuple[float, float]


def by_question(drafts: Sequence[Draft]) -> dict[str, list[Draft]]:
    """Drafts of each question, in order."""
    found: dict[str, list[Draft]] = {}
    for one in drafts:
        found.setdefault(one.question, []).append(one)
    return found


def by_task(drafts: Sequence[Draft]) -> dict[str, list[Draft]]:
    found: dict[str, list[Draft]] = {}
    for one in drafts:
        found.setdefault(one.task, []).append(one)
    return found


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def rationale_pairs(drafts: Sequence[Draft]) -> list[Pair]:
    """Of each question the drafts with the highest and the lowest score; none where these tie."""
    pairs = []
    for found in by_question(drafts).values():
        best, worst = (pick(found, key=lambda one: one.score) for pick in (max, min))
        if best.score > worst.score:
            pairs.append(Pair(best.task, best.draft, worst.draft, (best.score, worst.score)))
    return pairs


def question_pairs(
    drafts: Sequence[Draft], number: int, share: float, rng: random.Random
) -> list[Pair]:
    """In each task `number` pairs of a question of the best `share` and one of the worst.

    Both are drawn at random. None of a task whose best and worst questions score alike.
    """
    pairs = []
    for task, found in by_task(drafts).items():
        scores = {name: mean([x.score for x in own]) for name, own in by_question(found).items()}
        order = sorted(scores, key=lambda name: -scores[name])
        size = max(1, round(share * len(order)))
        best, worst = order[:size], order[-size:]
        if scores[best[-1]] <= scores[worst[0]]:
            continue
        for _ in range(number):
            chosen, rejected = rng.choice(best), rng.choice(worst)
            pairs.append(Pair(task, chosen, rejected, (scores[chosen], scores[rejected])))
    return pairs


def style_scores(drafts: Sequence[Draft]) -> dict[str, dict[str, float]]:
    """Mean score by task and style."""
    found: dict[str, dict[str, list[float]]] = {}
    for one in drafts:
        found.setdefault(one.task, {}).setdefault(one.style, []).append(one.score)
    return {
        task: {style: mean(values) for style, values in styles.items()}
        for task, styles in found.items()
    }


def best_styles(drafts: Sequence[Draft]) -> dict[str, str]:
    """The style with the highest mean score in each task."""
    return {
        task: max(scores, key=lambda style: scores[style])
        for task, scores in style_scores(drafts).items()
    }


def picked(
    drafts: Sequence[Draft], choice: Choice, style: str | None, rng: random.Random
) -> list[Draft]:
    """A draft of each question.

    best: the one with the highest score; random: any; fixed: the one in the style that scores best
    in its task; style: the one in this style. A question without a draft in the style that is asked
    for is left out.
    """
    styles = best_styles(drafts)
    chosen: list[Draft] = []
    for found in by_question(drafts).values():
        if choice == "random":
            chosen.append(rng.choice(found))
            continue
        if choice != "best":
            wanted = style if choice == "style" else styles[found[0].task]
            found = [one for one in found if one.style == wanted]
        if found:
            chosen.append(max(found, key=lambda one: one.score))
    return chosen


def draft_scores(right: Mapping[str, Sequence[bool]]) -> dict[str, float]:
    """Share of items that were answered, by draft."""
    return {draft: mean([float(one) for one in answers]) for draft, answers in right.items()}
