"""The embedded world: same seed, same world; splits share no question; flaws really are flaws."""

import ast
import random

import pytest

from data.errors import InputError
from data.recipes.recipe import WorldConfig
from data.schemas import PROMPTS
from data.world.answers import FORMS, GOOD, MIXED, draw_answer, in_form, wrong_content
from data.world.generate import (
    SPLITS,
    draw_questions,
    generate_world,
    prompt_table,
    split_of,
    written_answers,
)
from data.world.oracle import score
from data.world.questions import FAMILIES
from tests.repository import ROOT

SMALL = WorldConfig(
    lessons=700, policy_examples=700, teacher_pairs=280, student_pairs=70, prompts=350,
    dev_prompts=70, test_prompts=140,
)  # fmt: skip


def _prompts(conversations):
    return {messages[0]["content"] for messages in conversations}


def _mean_score(conversations):
    scores = [score(c[:1], c[1]["content"]) for c in conversations]
    return sum(scores) / len(scores)


def test_equal_seeds_give_equal_worlds_and_other_seeds_other_worlds():
    first, again = generate_world(SMALL), generate_world(SMALL)
    other = generate_world(SMALL.model_copy(update={"seed": 1}))
    assert first == again
    assert first.demonstrations != other.demonstrations
    assert first.test != other.test


def test_splits_share_no_question():
    world = generate_world(SMALL)
    splits = [
        _prompts(world.lessons) | _prompts(world.demonstrations),
        {q.prompt for q in (*world.teacher_questions, *world.student_questions)},
        *(
            {row["messages"][0]["content"] for row in table.to_pylist()}
            for table in (world.pool, world.dev, world.test)
        ),
    ]
    assert len(set.union(*splits)) == sum(map(len, splits))


def test_no_world_has_learnt_what_another_holds_out():
    """A question is in the same split in every world, so that a model that was chosen, or carried
    over, from one world has seen no test or dev prompt of another."""

    def asked(split, turns=tuple(FAMILIES)):
        drawn = (draw_questions(split, 400, seed, False, turns) for seed in (0, 1, 7))
        return [{question.key for question in questions} for questions in drawn]

    held_out = [asked("test"), asked("dev")]
    learnt = [asked(split) for split in ("train", "preference", "pool")]
    for out in (one for worlds in held_out for one in worlds):
        assert not any(out & one for worlds in learnt for one in worlds)
    assert not any(test & dev for test in held_out[0] for dev in held_out[1])


def test_worlds_two_apart_draw_from_streams_of_their_own():
    """Neighbours do not: the demonstrations of one ask what the lessons of the next begin with."""
    worlds = [generate_world(SMALL.model_copy(update={"seed": seed})) for seed in (4, 5, 6)]
    first, next_one, after = (
        (_prompts(world.lessons), _prompts(world.demonstrations)) for world in worlds
    )
    assert first[1] == next_one[0]
    assert all(one != other for one in first for other in after)
    tables = [world.test["prompt_id"].to_pylist() for world in worlds]
    assert len({tuple(one) for one in tables}) == 3


def test_the_split_follows_from_what_is_asked_not_from_its_wording():
    rng = random.Random(0)
    splits_of_key: dict[str, set[str]] = {}
    for _ in range(3000):
        question = FAMILIES["listing"](rng)
        splits_of_key.setdefault(question.key, set()).add(split_of(question))
    assert all(len(splits) == 1 for splits in splits_of_key.values())
    assert len(splits_of_key) < 3000  # some were drawn twice, or this shows nothing


@pytest.mark.parametrize("split", SPLITS)
def test_prompt_tables_hold_every_family_equally_and_no_prompt_twice(split):
    table = prompt_table(split, 70, seed=3)
    assert table.schema == PROMPTS
    assert len(set(table["prompt_id"].to_pylist())) == 70
    datasets = table["dataset"].to_pylist()
    assert {family: datasets.count(family) for family in FAMILIES} == dict.fromkeys(FAMILIES, 10)


def test_asking_for_more_prompts_than_exist_is_refused():
    with pytest.raises(InputError, match="fewer prompts"):
        prompt_table("dev", 100_000, seed=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_good_answers_score_one_and_wrong_or_ill_formed_ones_less(family):
    rng = random.Random(1)
    for _ in range(200):
        question = FAMILIES[family](rng)
        messages = [{"role": "user", "content": question.prompt}]
        assert score(messages, question.answer) == 1.0
        wrong = wrong_content(question, rng)
        assert 0.0 <= score(messages, wrong) < 1.0, wrong
        for form in FORMS[1:]:
            answer = in_form(question.answer, form, rng)
            if not (form == "refused" and answer == question.answer):
                assert 0.0 <= score(messages, answer) < 1.0, answer


def test_demonstrations_are_of_mixed_quality_and_lessons_are_good():
    world = generate_world(SMALL)
    assert _mean_score(world.lessons) == 1.0
    assert 0.45 < _mean_score(world.demonstrations) < 0.7


def test_answers_are_drawn_as_their_quality_says():
    questions = list(draw_questions("train", 70, 0, unique=False))
    rng = random.Random(0)
    assert all(draw_answer(q, GOOD, rng) == q.answer for q in questions)
    mixed = [draw_answer(q, MIXED, rng) == q.answer for q in questions]
    assert 0.1 < sum(mixed) / len(mixed) < 0.5


def test_the_generator_does_not_know_the_oracle():
    folder = ROOT / "data" / "world"
    for name in ("__init__", "words", "questions", "answers", "generate"):
        tree = ast.parse((folder / f"{name}.py").read_text())
        modules = [
            module
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for module in [getattr(node, "module", None) or "", *(a.name for a in node.names)]
        ]
        assert not any("oracle" in module for module in modules), name


def test_people_give_a_good_answer_to_every_prompt_they_are_asked():
    prompts = prompt_table("pool", 70, 3).to_pylist()
    asked = {row["prompt_id"]: row["messages"] for row in prompts[::3]}
    answers = written_answers("pool", 70, 3, set(asked), "people").to_pylist()
    assert sorted(row["prompt_id"] for row in answers) == sorted(asked)
    assert all(score(asked[row["prompt_id"]], row["completion"]) == 1 for row in answers)
    fewer = {row["prompt_id"] for row in answers[:5]}
    assert written_answers("pool", 70, 3, fewer, "people").to_pylist() == answers[:5]
