"""Titles of stages: what the terminal, Prefect, `explain` and the report call a call of a stage.

A title says whose answers a stage makes or reads: the base's, or those of the policy of a round.
Where the stages of several rounds or runs are compared, they go by what does not change.
"""

import re

BASE = "base"
_ANSWERS = re.compile(r"(?:base|round \d+) answers (dev|test) prompts")
_SCORES = re.compile(r"teacher scores (?:base|round \d+)'s (dev|test) answers")


def policy_name(number: int) -> str:
    """The policy that the round of this number has left; 0: the base."""
    return f"round {number}" if number else BASE


def answering(policy: str, held_out: str) -> str:
    """A policy, by `policy_name`, answers the "dev" or "test" prompts."""
    return f"{policy} answers {held_out} prompts"


def scoring(policy: str, held_out: str) -> str:
    """The teacher scores these answers."""
    return f"teacher scores {policy}'s {held_out} answers"


def without_policy(title: str) -> str:
    """A title that names no policy: "answer dev prompts", "teacher scores dev", "optimize".

    Summaries that an earlier version wrote have such titles.
    """
    return _SCORES.sub(r"teacher scores \1", _ANSWERS.sub(r"answer \1 prompts", title))


def plain(title: str) -> str:
    """Also without what is in brackets, such as "(before)" and "(pairs of round 1)"."""
    return without_policy(title.split(" (")[0])
