"""The world's models: a tokenizer that fits, and bodies that give models the loop can load."""

import pyarrow as pa
import pytest

from data.recipes.recipe import RuntimeConfig, WorldConfig
from data.schemas import PREFERENCES
from data.store.digests import tree_digest
from data.world.generate import further_lessons, generate_world, lessons
from data.world.oracle import score
from models.chat import check_chat_template, load_tokenizer, render_completion
from models.implicit import ImplicitScorer
from models.world.models import (
    train_likelihood_teacher,
    train_student,
    train_tokenizer,
    train_trunk,
)
from models.world.preferences import student_preferences, teacher_preferences

WORLD = generate_world(
    WorldConfig(
        lessons=280,
        policy_examples=280,
        teacher_pairs=112,
        student_pairs=56,
        prompts=70,
        dev_prompts=7,
        test_prompts=7,
    )  # fmt: skip
)


@pytest.fixture(scope="module")
def tokenizer_dir(tmp_path_factory):
    out = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(out, conversations=WORLD.lessons + WORLD.demonstrations)
    return out


@pytest.fixture(scope="module")
def trunk_dir(tmp_path_factory, tokenizer_dir):
    out = tmp_path_factory.mktemp("trunk")
    train_trunk(
        out, tokenizer=tokenizer_dir, conversations=WORLD.lessons, runtime=RuntimeConfig(), seed=0
    )
    return out


def test_the_tokenizer_has_one_token_per_word_and_per_digit(tokenizer_dir):
    tokenizer = load_tokenizer(tokenizer_dir)
    assert len(tokenizer("It is 27 + 5 = 32.", add_special_tokens=False)["input_ids"]) == 10


@pytest.mark.parametrize("text", ["Zürich – 東京!", "  two  spaces\n", "It is 7."])
def test_the_tokenizer_loses_nothing(tokenizer_dir, text):
    tokenizer = load_tokenizer(tokenizer_dir)
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


def test_the_chat_template_ends_with_the_end_of_turn(tokenizer_dir):
    tokenizer = load_tokenizer(tokenizer_dir)
    messages = [{"role": "user", "content": "What is 2 plus 9?"}]
    check_chat_template(tokenizer, "policy.model", messages)
    _, completion = render_completion(tokenizer, messages, "It is 11.")
    assert completion[-1] == tokenizer.eos_token_id != tokenizer.pad_token_id


def test_equal_conversations_give_equal_tokenizer_bytes(tokenizer_dir, tmp_path):
    train_tokenizer(tmp_path, conversations=WORLD.lessons + WORLD.demonstrations)
    assert tree_digest(tmp_path) == tree_digest(tokenizer_dir)


def test_the_oracle_confirms_every_pair_of_the_reward_models(trunk_dir, tmp_path):
    for name, body, arguments in (
        ("teacher", teacher_preferences, {"trunk": trunk_dir}),
        ("student", student_preferences, {}),
    ):
        questions = WORLD.teacher_questions if name == "teacher" else WORLD.student_questions
        rows, meta = body(questions=questions, policy=trunk_dir, seed=0, **arguments)
        assert 0 < meta["pairs"] == len(rows) == len({row["prompt_id"] for row in rows})
        for row in rows:
            margin = score(row["messages"], row["chosen"]) - score(row["messages"], row["rejected"])
            assert margin > 0 and margin == pytest.approx(row["margin"])


def test_a_teacher_by_likelihood_prefers_what_it_has_read_to_the_same_words_in_disorder(
    trunk_dir, tmp_path
):
    train_likelihood_teacher(
        tmp_path, trunk=trunk_dir, conversations=further_lessons(280, 280, 0),
        runtime=RuntimeConfig(), seed=0,
    )  # fmt: skip
    scorer = ImplicitScorer(tmp_path, RuntimeConfig(), 96)
    pairs = [
        ([question], (answer["content"], " ".join(reversed(answer["content"].split(" ")))))
        for question, answer in WORLD.lessons[:70]
    ]
    rewards = scorer.score([(asked, text) for asked, texts in pairs for text in texts])
    assert (rewards < 0).all()  # a likelihood
    right = rewards[::2] > rewards[1::2]
    assert right.mean() > 0.9


def test_further_lessons_are_not_those_that_the_trunk_knows():
    assert WORLD.lessons + further_lessons(20, 280, 0) == lessons(300, 0)


def test_the_student_is_a_small_reward_model(tokenizer_dir, trunk_dir, tmp_path):
    rows, _ = student_preferences(questions=WORLD.student_questions, policy=trunk_dir, seed=0)
    meta = train_student(
        tmp_path, tokenizer=tokenizer_dir, preferences=pa.Table.from_pylist(rows, PREFERENCES),
        runtime=RuntimeConfig(), seed=0,
    )  # fmt: skip
    assert meta["parameters"] < 300_000
    assert meta["final_loss"] < meta["first_loss"]
