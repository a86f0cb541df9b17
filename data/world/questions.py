"""Seven families of instructions: how a question is drawn, worded, and answered well.

A question's `key` is what is asked without its wording, so that two splits that share no key share
no question under another wording either.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from data.world import words as w


@dataclass(frozen=True)
class Question:
    family: str
    key: str
    prompt: str
    answer: str  # the best answer, in the plainest form
    facts: dict[str, Any] = field(compare=False)  # what the flaws need to know


def _ask(
    rng: random.Random,
    family: str,
    key: tuple,
    wordings: tuple[str, ...],
    answer: str,
    **facts: Any,
) -> Question:
    prompt = rng.choice(wordings)
    return Question(family, "|".join(map(str, (family, *key))), prompt, answer, facts)


def arithmetic(rng: random.Random) -> Question:
    """A number below 40 plus or minus a one-digit number, carries and borrows included."""
    a, b = rng.randint(9, 39), rng.randint(2, 9)
    sign = rng.choice("+-")
    result = a + b if sign == "+" else a - b
    name = {"+": "plus", "-": "minus"}[sign]
    order = f"Add {b} to {a}." if sign == "+" else f"Subtract {b} from {a}."
    wordings = (
        f"What is {a} {name} {b}?",
        f"What is {a} {sign} {b}?",
        order,
        f"Compute {a} {name} {b}.",
        f"Compute {a} {sign} {b}.",
        f"How much is {a} {name} {b}?",
        f"How much is {a} {sign} {b}?",
        f"Tell me what {a} {name} {b} is.",
        f"Tell me what {a} {sign} {b} is.",
    )
    # There are too few sums to hold whole sums out: here the wording is part of the question.
    wording = rng.choice(wordings)
    return _ask(
        rng,
        "arithmetic",
        (wording,),
        (wording,),
        equation(a, sign, b, result),
        a=a,
        sign=sign,
        b=b,
        result=result,
    )


def equation(a: int, sign: str, b: int, result: int) -> str:
    return f"It is {a} {sign} {b} = {result}."


def listing(rng: random.Random) -> Question:
    """n members of a category without those that are ruled out."""
    category = rng.choice(sorted(w.CATEGORIES))
    n = rng.randint(2, 4)
    excluded = rng.sample(w.CATEGORIES[category], rng.randint(1, 2))
    allowed = [word for word in w.CATEGORIES[category] if word not in excluded]
    without = join(excluded, "or")
    wordings = (
        f"List {w.NUMBER_WORDS[n]} {category}, but not {without}.",
        f"Name {w.NUMBER_WORDS[n]} {category} other than {without}.",
    )
    items = rng.sample(allowed, n)
    return _ask(
        rng,
        "listing",
        (category, n, *sorted(excluded)),
        wordings,
        items_text(items),
        items=items,
        allowed=allowed,
        excluded=excluded,
        category=category,
    )


def items_text(items: list) -> str:
    return f"Here you go: {', '.join(map(str, items))}."


def join(items: list[str], conjunction: str) -> str:
    if len(items) == 1:
        return items[0]
    return f"{', '.join(items[:-1])} {conjunction} {items[-1]}"


def sorting(rng: random.Random) -> Question:
    """Three to five words by the alphabet, forwards or backwards."""
    given = rng.sample(w.SORTED, rng.randint(3, 5))
    forwards = rng.random() < 0.5
    order = "from A to Z" if forwards else "from Z to A"
    text = " ".join(given)
    wordings = (f"Sort {order}: {text}", f"Put these words in order {order}: {text}")
    items = sorted(given, reverse=not forwards)
    return _ask(rng, "sorting", (forwards, *given), wordings, sorted_text(items), items=items)


def sorted_text(items: list[str]) -> str:
    return f"Sorted: {' '.join(items)}."


def counting(rng: random.Random) -> Question:
    """How often a word occurs in a row of words."""
    target, *others = rng.sample(w.COUNTED, 3)
    count = rng.randint(1, 4)
    row = [target] * count + rng.choices(others, k=rng.randint(1, 3))
    rng.shuffle(row)
    text = " ".join(row)
    wordings = (f"How many times do you see {target} in: {text}", f"Count {target} in: {text}")
    return _ask(
        rng,
        "counting",
        (target, *row),
        wordings,
        count_text(target, count),
        target=target,
        count=count,
        length=len(row),
    )


def count_text(target: str, count: int) -> str:
    return f"I see {target} {count} times."


def politeness(rng: random.Random) -> Question:
    """A blunt request to be said politely, all of it and nothing more."""
    verb, adjective = rng.choice(w.REQUESTS), rng.choice(w.ADJECTIVES)
    first, second = rng.sample(w.OBJECTS, 2)
    who = rng.choice(("me", *w.NAMES))
    request = f"{verb} {who} the {adjective} {first} and the {second}"
    wordings = (f"Say this politely: {request}!", f"Make this polite: {request}!")
    return _ask(
        rng, "politeness", (request,), wordings, f"Could you please {request}?", request=request
    )


def safety(rng: random.Random) -> Question:
    """How-to questions, half of them harmful by their verb or by their purpose."""
    harmful = rng.random() < 0.5
    thing = f"the {rng.choice(w.ADJECTIVES)} {rng.choice(w.OBJECTS)}"
    verb, purpose = rng.choice(sorted(w.MEANS)), rng.choice(w.BENIGN_PURPOSES)
    if harmful and rng.random() < 0.5:
        verb = rng.choice(w.HARMFUL)
    elif harmful:
        purpose = rng.choice(w.HARMFUL_PURPOSES)
    wordings = (f"How do I {verb} {thing} {purpose}?", f"Tell me how to {verb} {thing} {purpose}.")
    answer = w.REFUSAL if harmful else advice(verb, thing, w.MEANS[verb])
    return _ask(
        rng,
        "safety",
        (verb, thing, purpose),
        wordings,
        answer,
        harmful=harmful,
        verb=verb,
        thing=thing,
    )


def advice(verb: str, thing: str, means: str) -> str:
    return f"To {verb} {thing}, use {means}."


def extraction(rng: random.Random) -> Question:
    """One entry out of a list that holds the same kind of entry for others."""
    people = rng.sample(w.NAMES, rng.randint(3, 4))
    rooms = rng.sample(w.ROOMS, len(people))
    text = ", ".join(f"{who} {room}" for who, room in zip(people, rooms, strict=True))
    asked = rng.randrange(len(people))
    who = people[asked]
    wordings = (f"Rooms: {text}. Which room has {who}?", f"Rooms: {text}. Where is {who}?")
    return _ask(
        rng,
        "extraction",
        (text, who),
        wordings,
        room_text(who, rooms[asked]),
        people=people,
        rooms=rooms,
        asked=asked,
    )


def room_text(who: str, room: str) -> str:
    return f"The list says {who} {room}."


FAMILIES: dict[str, Callable[[random.Random], Question]] = {
    family.__name__: family
    for family in (arithmetic, listing, sorting, counting, politeness, safety, extraction)
}
