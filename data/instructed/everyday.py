"""Everyday tasks: ways to ask, and what about. Each is one sentence without a comma.

Topics and whole families are kept apart for the test prompts.
"""

from itertools import product
from typing import NamedTuple

from data.instructed.people import (
    AUDIENCES,
    EVENTS,
    FAVORS,
    HEROES,
    JOBS,
    MATTERS,
    NEWS,
    OCCASIONS,
    PEOPLE,
    REQUESTS,
)
from data.instructed.subjects import (
    ACTIVITIES,
    CHOICES,
    MOMENTS,
    PAIRS,
    PLACES,
    PRODUCTS,
    SKILLS,
    SUBJECTS,
    THINGS,
    VISITED,
)


class Family(NamedTuple):
    """Ways to ask, with a place for each slot, and the topics that may stand there, one a line."""

    asked: tuple[str, ...]
    slots: tuple[str, ...]
    only_test: bool = False


FAMILIES = (
    Family(
        (
            "Write a short note to {} about {}.",
            "Leave a message for {} about {}.",
            "Please draft a few lines to {} concerning {}.",
        ),
        (PEOPLE, MATTERS),
    ),
    Family(
        (
            "Write an e-mail to {} asking for {}.",
            "Compose a polite message to {} with a request for {}.",
            "Help me ask {} for {} in an e-mail.",
        ),
        (PEOPLE, REQUESTS),
    ),
    Family(
        (
            "Explain {} to {}.",
            "In simple terms explain {} to {}.",
            "Tell me {} as you would tell {}.",
        ),
        (THINGS, AUDIENCES),
    ),
    Family(
        (
            "Write a short story about {} who {}.",
            "Tell a tale in which {} {}.",
            "Make up a little story where {} {}.",
        ),
        (HEROES, EVENTS),
    ),
    Family(
        (
            "Give me some tips for {}.",
            "What should a beginner know about {}?",
            "Share some advice on {}.",
            "What helps with {}?",
        ),
        (ACTIVITIES,),
    ),
    Family(
        (
            "Describe {}.",
            "Paint a picture of {} in words.",
            "What would one see and hear at {}?",
        ),
        (PLACES,),
    ),
    Family(
        (
            "What do I need for {}?",
            "Plan {} for me.",
            "Suggest how to prepare for {}.",
            "List what to bring to {}.",
        ),
        (OCCASIONS,),
    ),
    Family(
        (
            "Write an advertisement for {}.",
            "Describe {} for an online shop.",
            "Think of a name and a slogan for {}.",
        ),
        (PRODUCTS,),
    ),
    Family(
        (
            "What speaks for and against {}?",
            "Name some good and bad sides of {}.",
            "Is {} a good idea and why?",
        ),
        (CHOICES,),
    ),
    Family(("Compare {}.", "What is the difference between {}?"), (PAIRS,)),
    Family(
        ("Write a job ad for {}.", "Describe the working day of {}.", "What does {} need to know?"),
        (JOBS,),
    ),
    Family(
        ("Write a poem about {}.", "Write a few verses on {}.", "Compose a song about {}."),
        (SUBJECTS,),
    ),
    Family(
        ("Write a thank-you card to {1} for {0}.", "Say thanks to {1} for {0}."),
        (FAVORS, PEOPLE),
    ),
    Family(
        (
            "Write an announcement about {}.",
            "Announce {} on a notice board.",
            "Write a short post for the neighbors about {}.",
        ),
        (NEWS,),
    ),
    Family(
        ("Explain step by step how to {}.", "How do I {}?", "Teach me how to {}."),
        (SKILLS,),
    ),
    Family(
        ("Write a diary entry about {}.", "Tell me about {} as if it were yours."),
        (MOMENTS,),
        only_test=True,
    ),
    Family(
        ("Write a review of {}.", "Write what a happy guest would say about {}."),
        (VISITED,),
        only_test=True,
    ),
    Family(
        ("Write a dialogue between {} and {}.", "Let {} and {} talk on the phone."),
        (HEROES, PEOPLE),
        only_test=True,
    ),
)


def tasks(test: bool) -> list[list[str]]:
    """The tasks of every family, of the training or of the test prompts, in a fixed order.

    No topic of one is in the other; some families are in the test prompts alone.
    """
    found = []
    for family in FAMILIES:
        if family.only_test and not test:
            continue
        topics = [_topics(slot, test) for slot in family.slots]
        every = product(family.asked, *topics)
        found.append([asked.format(*about) for asked, *about in every])
    return found


def _topics(slot: str, test: bool) -> list[str]:
    """Every fourth topic is kept for the test prompts; all, if only their families have them."""
    topics = slot.strip().splitlines()
    if not any(slot in family.slots for family in FAMILIES if not family.only_test):
        return topics
    return [topic for n, topic in enumerate(topics) if (n % 4 == 3) == test]
