"""Lengths that a recipe of the loop leaves out, by what its models read."""

from data.recipes.recipe import (
    NONE,
    GenerateConfig,
    PromptsConfig,
    StudentConfig,
    TrainConfig,
    Values,
)
from flows.preflight.fitting import at_most


def lengths(
    prompts: PromptsConfig,
    generate: GenerateConfig,
    policy: TrainConfig,
    student: StudentConfig,
    known: dict[str, int],
) -> Values:
    """Values for the lengths not given; `known`: tokens that each model reads, by field."""
    found = policy_lengths(prompts, generate, policy, known)
    if student.model != NONE and not student.gives("max_length"):
        longest = max(student.max_length, found.get("policy.max_length", 0))
        found["student.max_length"] = at_most(known.get("student.model"), longest)
    return found


def policy_lengths(
    prompts: PromptsConfig, generate: GenerateConfig, policy: TrainConfig, known: dict[str, int]
) -> Values:
    """The same of a policy that answers prompts and is trained on answers."""
    found = _sampled(prompts, generate, policy, known)
    asked = found.get("prompts.max_tokens", prompts.max_tokens)
    answered = found.get("generate.max_tokens", generate.max_tokens)
    if not policy.gives("max_length"):
        longest = max(policy.max_length, asked + answered)
        found["policy.max_length"] = at_most(known.get("policy.model"), longest)
    return found


def _sampled(
    prompts: PromptsConfig, generate: GenerateConfig, policy: TrainConfig, known: dict[str, int]
) -> Values:
    """The longest prompt and the longest answer.

    Prompts take at most half of what the policy reads, answers what is left. A student or teacher
    that reads less leaves answers at least half of that: prompts are seldom as long as they may
    be, and an answer that is too long for it is counted.
    """
    samplers = [n for field, n in known.items() if field.startswith(("policy.", "matrix cell"))]
    readers = [n for field, n in known.items() if field.startswith(("student.", "teacher."))]
    given = [policy.max_length] if policy.gives("max_length") else []
    room, reader = min(samplers + given, default=None), min(readers, default=None)
    found: Values = {}
    asked, answer = prompts.max_tokens, generate.max_tokens
    if not prompts.gives("max_tokens"):
        taken = answer if generate.gives("max_tokens") else (room or 0) // 2
        found["prompts.max_tokens"] = asked = at_most(room and room - taken, asked)
    if not generate.gives("max_tokens"):
        answer = at_most(room and room - asked, answer)
        answer = at_most(reader and max(reader - asked, reader // 2), answer)
        found["generate.max_tokens"] = answer
    return found
