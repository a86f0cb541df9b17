"""Oracle-labelled preferences for the world's reward models. Part of the bootstrap only.

A teacher in real life has seen the outputs of many models. This one sees those of the trunk and of
the policy at several temperatures, and answers written in every quality: also plain, well-mannered
ones that are wrong, which is what a policy writes late in its alignment.
"""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from data.world.answers import GOOD, MIXED, POLISHED, draw_answer
from data.world.oracle import score
from data.world.questions import Question
from models.chat import load_tokenizer, render_prompt
from models.loading import load_policy
from models.training.trainers import OnProgress

_MAX_NEW_TOKENS = 40
_BATCH = 256  # prompts sampled together

Labelled = tuple[list[dict[str, Any]], dict[str, int]]  # PREFERENCES rows and counts


def teacher_preferences(
    *,
    questions: Sequence[Question],
    policy: Path,
    trunk: Path,
    seed: int,
    on_progress: OnProgress | None = None,
) -> Labelled:
    """Four pairs for every question: two of well-formed answers, two of any.

    Form is easy to judge. Without pairs that differ in content alone a teacher stops being useful
    as soon as the policy's form is good.
    """
    rng = random.Random(f"teacher-{seed}")
    from_policy = [
        sample_answers(policy, questions, 1.0, seed),
        sample_answers(policy, questions, 0.7, seed + 1),
    ]
    from_trunk = [
        sample_answers(trunk, questions, 1.0, seed + 2),
        sample_answers(trunk, questions, 1.3, seed + 3),
    ]
    rows: list[dict[str, Any]] = []
    for i, question in enumerate(questions):
        polished = {draw_answer(question, quality, rng) for quality in (GOOD, POLISHED, POLISHED)}
        polished |= {texts[i] for texts in from_trunk}
        others = {texts[i] for texts in from_policy} | {draw_answer(question, MIXED, rng)}
        rows += _pairs(question, sorted(polished), 2, rng, f"teacher-{i}-polished")
        rows += _pairs(question, sorted(polished | others), 2, rng, f"teacher-{i}-any")
    return rows, {"pairs": len(rows)}


def student_preferences(
    *,
    questions: Sequence[Question],
    policy: Path,
    seed: int,
    on_progress: OnProgress | None = None,
) -> Labelled:
    """One pair for every question, out of four of the policy's answers; round 0 of the replay."""
    rng = random.Random(f"student-{seed}")
    sampled = [sample_answers(policy, questions, 1.0, seed + 10 + k) for k in range(4)]
    rows: list[dict[str, Any]] = []
    for i, question in enumerate(questions):
        answers = sorted({texts[i] for texts in sampled})
        rows += _pairs(question, answers, 1, rng, f"student-{i}")
    return rows, {"pairs": len(rows)}


def _pairs(
    question: Question, answers: list[str], n: int, rng: random.Random, name: str
) -> list[dict[str, Any]]:
    """At most `n` PREFERENCES rows of answers that the oracle tells apart, drawn at random."""
    messages = [{"role": "user", "content": question.prompt}]
    scores = {answer: score(messages, answer) for answer in answers}
    pairs = [(a, b) for a in answers for b in answers if scores[a] > scores[b]]
    return [
        {
            "pair_id": f"{name}-{k}",
            "prompt_id": f"{name}-{k}",
            "messages": messages,
            "dataset": question.family,
            "chosen": chosen,
            "rejected": rejected,
            "chosen_id": f"{name}-{k}-chosen",
            "rejected_id": f"{name}-{k}-rejected",
            "chosen_model": "given",
            "rejected_model": "given",
            "source": "given",
            "margin": scores[chosen] - scores[rejected],
            "weight": 1.0,
            "swapped": False,
            "round": 0,
        }
        for k, (chosen, rejected) in enumerate(rng.sample(pairs, min(n, len(pairs))))
    ]


@torch.no_grad()
def sample_answers(
    model_dir: Path, questions: Sequence[Question], temperature: float, seed: int
) -> list[str]:
    """One answer to each question, in order. Seeded for the whole call."""
    tokenizer = load_tokenizer(model_dir)
    model: Any = load_policy(model_dir, torch.float32).eval()
    torch.manual_seed(seed)
    prompts = [
        render_prompt(tokenizer, [{"role": "user", "content": question.prompt}])
        for question in questions
    ]
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    answers = [""] * len(prompts)
    for start in range(0, len(order), _BATCH):
        rows = order[start : start + _BATCH]
        width = max(len(prompts[i]) for i in rows)
        padding = [width - len(prompts[i]) for i in rows]
        ids = [
            [tokenizer.pad_token_id] * pad + prompts[i]
            for pad, i in zip(padding, rows, strict=True)
        ]
        output = model.generate(
            input_ids=torch.tensor(ids),
            attention_mask=torch.tensor([[0] * pad + [1] * (width - pad) for pad in padding]),
            do_sample=True,
            temperature=temperature,
            top_k=0,
            max_new_tokens=_MAX_NEW_TOKENS,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
        for i, tokens in zip(rows, output[:, width:], strict=True):
            answers[i] = tokenizer.decode(tokens, skip_special_tokens=True)
    return answers
