"""Answers of every quality: right and wrong content, each in good or bad form.

A demonstration draws its content and its form independently, so that a model trained on them can
do both well and badly. In each family one bad form is a habit, more frequent than the good one: a
model trained on these falls into it even when it answers greedily. Alignment has to unlearn it.
"""

import random
from dataclasses import dataclass

from data.world import questions as q
from data.world import words as w
from data.world.questions import Question

FORMS = (
    "plain",
    "rambling_start",
    "rambling_end",
    "rude_start",
    "rude_end",
    "unfinished",
    "repeated",
    "refused",
)


@dataclass(frozen=True)
class Quality:
    """How often an answer's content is wrong, its form the family's habit or else one of these."""

    wrong: float
    forms: dict[str, float]  # share of each form among the answers out of habit's way; sums to one
    habit: float = 0.0


# As good as a model that was tuned on answers nobody checked.
MIXED = Quality(
    wrong=0.35,
    habit=0.5,
    forms={
        "plain": 0.70,
        "rambling_start": 0.06,
        "rambling_end": 0.06,
        "rude_start": 0.03,
        "rude_end": 0.03,
        "unfinished": 0.05,
        "repeated": 0.05,
        "refused": 0.02,
    },
)
# Opening and closing that a family's answers fall into: always the same words.
HABITS = {
    "arithmetic": ("", w.RAMBLING_CLOSERS[0]),
    "listing": ("", w.RUDE_CLOSERS[1]),
    "sorting": ("", w.RAMBLING_CLOSERS[1]),
    "counting": ("", w.RUDE_CLOSERS[0]),
    "politeness": (w.RUDE_OPENERS[0], ""),
    "safety": (w.RAMBLING_OPENERS[1], ""),
    "extraction": (w.RAMBLING_OPENERS[0], ""),
}
GOOD = Quality(wrong=0.0, forms={"plain": 1.0})
# Good form whatever the content: what a policy looks like late in its alignment.
POLISHED = Quality(wrong=0.5, forms={"plain": 1.0})


def draw_answer(question: Question, quality: Quality, rng: random.Random) -> str:
    content = question.answer
    if rng.random() < quality.wrong:
        content = wrong_content(question, rng)
    if rng.random() < quality.habit:
        opening, closing = HABITS[question.family]
        return f"{opening} {content} {closing}".strip()
    form = rng.choices(list(quality.forms), weights=list(quality.forms.values()))[0]
    return in_form(content, form, rng)


def in_form(content: str, form: str, rng: random.Random) -> str:
    """`content` wrapped in one of FORMS."""
    if form == "rambling_start":
        return f"{rng.choice(w.RAMBLING_OPENERS)} {content}"
    if form == "rambling_end":
        return f"{content} {rng.choice(w.RAMBLING_CLOSERS)}"
    if form == "rude_start":
        return f"{rng.choice(w.RUDE_OPENERS)} {content}"
    if form == "rude_end":
        return f"{content} {rng.choice(w.RUDE_CLOSERS)}"
    if form == "unfinished":
        parts = content.split(" ")
        return " ".join(parts[: rng.randint(len(parts) // 2, len(parts) - 1)]).rstrip(".,?!")
    if form == "repeated":
        return f"{content} {content}"
    if form == "refused":
        return w.REFUSAL
    return content


def wrong_content(question: Question, rng: random.Random) -> str:
    return _WRONG[question.family](question, rng)


def _arithmetic(question: Question, rng: random.Random) -> str:
    f = question.facts
    error = rng.choice((-1, 1, -10, 10, -2, 2))
    wrong = f["result"] + (error if f["result"] + error >= 0 else -error)
    return q.equation(f["a"], f["sign"], f["b"], wrong)


def _listing(question: Question, rng: random.Random) -> str:
    f = question.facts
    items = list(f["items"])
    kind = rng.choice(("excluded", "missing", "foreign", "double", "extra"))
    if kind == "missing" or (kind == "double" and len(items) < 2):
        items.pop()
    elif kind == "double":
        items[-1] = items[0]
    elif kind == "extra":
        items += rng.sample([word for word in f["allowed"] if word not in items], 2)
    else:
        foreign = rng.choice([c for c in sorted(w.CATEGORIES) if c != f["category"]])
        source = f["excluded"] if kind == "excluded" else w.CATEGORIES[foreign]
        items[rng.randrange(len(items))] = rng.choice(source)
    return q.items_text(items)


def _sorting(question: Question, rng: random.Random) -> str:
    items = list(question.facts["items"])
    kind = rng.choice(("swapped", "missing", "reversed", "foreign"))
    i = rng.randrange(len(items) - 1)
    if kind == "swapped":
        items[i], items[i + 1] = items[i + 1], items[i]
    elif kind == "missing":
        items.pop(i)
    elif kind == "reversed":
        items.reverse()
    else:
        items[i] = rng.choice([word for word in w.SORTED if word not in items])
    return q.sorted_text(items)


def _counting(question: Question, rng: random.Random) -> str:
    f = question.facts
    wrong = [max(0, f["count"] - 1), f["count"] + 1, f["length"]]
    return q.count_text(f["target"], rng.choice([n for n in wrong if n != f["count"]]))


def _politeness(question: Question, rng: random.Random) -> str:
    request = question.facts["request"]
    parts = request.split(" ")
    kind = rng.choice(("blunt", "insult", "dropped", "changed"))
    if kind == "blunt":
        return f"I want you to {request}."
    if kind == "insult":
        return f"{request.capitalize()}, you lazy fool!"
    if kind == "dropped":
        return f"Could you please {' '.join(parts[: parts.index('and')])}?"
    parts[-1] = rng.choice([o for o in w.OBJECTS if o not in parts])
    return f"Could you please {' '.join(parts)}?"


def _safety(question: Question, rng: random.Random) -> str:
    f = question.facts
    if f["harmful"]:
        means = w.MEANS.get(f["verb"]) or rng.choice(sorted(w.MEANS.values()))
        return q.advice(f["verb"], f["thing"], means)
    if rng.random() < 0.5:
        return w.REFUSAL
    means = rng.choice([m for v, m in sorted(w.MEANS.items()) if v != f["verb"]])
    return q.advice(f["verb"], f["thing"], means)


def _extraction(question: Question, rng: random.Random) -> str:
    f = question.facts
    other = rng.choice([i for i in range(len(f["people"])) if i != f["asked"]])
    kind = rng.choice(("neighbour", "neighbour", "someone", "unknown"))
    if kind == "unknown":
        unlisted = [room for room in w.ROOMS if room not in f["rooms"]]
        return q.room_text(f["people"][f["asked"]], rng.choice(unlisted))
    return q.room_text(f["people"][other if kind == "someone" else f["asked"]], f["rooms"][other])


_WRONG = {
    "arithmetic": _arithmetic,
    "listing": _listing,
    "sorting": _sorting,
    "counting": _counting,
    "politeness": _politeness,
    "safety": _safety,
    "extraction": _extraction,
}
