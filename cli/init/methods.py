"""What `tsalign init --method` offers: what each needs to be told, and what makes it what it is."""

from dataclasses import dataclass, field

from cli.init.starter_world import Reasons, Values
from data.recipes.recipe import NONE


@dataclass(frozen=True)
class Method:
    """What `--method` offers: what it needs to be told, and the values that make it what it is."""

    about: str
    needs: tuple[str, ...]
    values: Values
    reasons: Reasons = field(default_factory=dict)
    distils: bool = False  # the policy learns answers token by token, and no pairs


_NO_STUDENT = "With this method there is none."
_ALONE: Values = {"labels": "teacher", "student.model": NONE}
METHODS: dict[str, Method] = {
    "ts-align": Method(
        "the student screens K answers, the teacher judges the best and the worst",
        ("policy", "teacher", "student", "prompts"),
        {"recipe": "ts-align", "labels": "student+teacher"},
        {"labels": "The teacher judges the pairs that the student picks."},
    ),
    "dpo": Method(
        "iterative DPO: the teacher scores all K answers, there is no student",
        ("policy", "teacher", "prompts"),
        {"recipe": "ts-align"} | _ALONE,
        {"labels": "The teacher alone scores all completions.", "student.model": _NO_STUDENT},
    ),
    "optune": Method(
        "the same prompts in every round, of which the worst answered are answered again",
        ("policy", "teacher", "prompts"),
        {
            "recipe": "optune",
            **_ALONE,
            "prompts.refresh.share": 0.5,
            "prompts.refresh.by": "reward",
            "policy.reference": "initial",
            "policy.pair_weight.form": "sigmoid",
            "policy.pair_weight.normalize": True,
        },
        {
            "labels": "The teacher alone scores all completions.",
            "student.model": _NO_STUDENT,
            "prompts.refresh.share": "Share of the prompts that is answered again in each round.",
            "policy.pair_weight.form": "A pair weighs by its reward gap (a reconstruction).",
        },
    ),
    "tso": Method(
        "pairs of a model matrix: this policy, the one before it, a smaller model",
        ("policy", "teacher", "smaller", "prompts"),
        {
            "recipe": "tso",
            "labels": "matrix",
            "student.model": NONE,
            "matrix.per_prompt": 1,
            "policy.losses": {"dual_clip": 1.0},
        },
        {
            "student.model": _NO_STUDENT,
            "labels": "The order of two answers is that of their models in the matrix.",
            "matrix.per_prompt": "Pairs of a prompt at most, as plain iterative DPO has.",
            "policy.losses": "TSO's dual clip (a reconstruction).",
        },
    ),
    "opd": Method(
        "on-policy distillation: a larger language model says what it would have answered",
        ("policy", "teacher", "prompts"),
        {"recipe": "opd", "answers": "policy", "policy.losses": {"forward_kl": 1.0}},
        {
            "policy": "The language model that learns.",
            "teacher": "The language model whose distribution over tokens is learned.",
            "answers": "Who answers: the policy itself; or teacher, knowledge distillation.",
            "policy.losses": "Or reverse_kl, jsd, sft, each with a weight (docs/distillation.md).",
        },
        distils=True,
    ),
}
