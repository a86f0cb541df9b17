"""Bad input: one line that names the field, exit status 2, before any expensive work."""

import copy
import json
import shutil

import pytest
from transformers import AutoTokenizer, LlamaConfig, LlamaForSequenceClassification

from flows.cli import main

pytestmark = pytest.mark.usefixtures("prefect")


@pytest.fixture
def refuse(tmp_path, tiny_recipe, write_recipe, capsys):
    """Run a recipe that must fail; returns the one line it prints."""

    def run(change, *arguments):
        values = copy.deepcopy(tiny_recipe)
        change(values)
        capsys.readouterr()  # what the test's own preparation printed
        code = main(
            [
                *("align", str(write_recipe(values)), "--quiet", *arguments),
                *("--store", str(tmp_path / "store"), "--runs-dir", str(tmp_path / "runs")),
            ]
        )
        lines = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
        assert code == 2
        assert len(lines) == 1, lines
        for kind in ("completions", "scores", "policy", "student"):
            assert not (tmp_path / "store" / kind).exists(), "expensive work was done"
        return lines[0]

    return run


def setting(dotted, value):
    def change(values):
        *sections, name = dotted.split(".")
        for section in sections:
            values = values.setdefault(section, {})
        values[name] = value

    return change


@pytest.mark.parametrize(
    "dotted, value, message",
    [
        ("policy.betta", 0.1, "unknown key 'policy.betta' (did you mean 'policy.beta'?)"),
        ("polcy", {}, "unknown key 'polcy'"),
        ("policy.beta", "high", "policy.beta"),
        ("policy.beta", -1.0, "policy.beta"),
        ("policy.method", "qlora", "policy.method"),
        ("policy.losses", {"sigmod": 1.0}, "policy.losses"),
        ("generate.k", 1, "generate.k"),
        ("generate.engine", "sglang", "generate.engine"),
        ("rounds", 0, "rounds"),
        ("run", "../outside", "run"),
        ("policy.model", "no/such/folder/here", "policy.model"),
        ("policy.model", "world", "policy.model"),
        ("prompts.path", "missing.jsonl", "prompts.path"),
        ("prompts.per_round", 30, "prompts.per_round"),
        ("prompts.test_size", 58, "prompts.test_size"),
        ("student.replay_path", "missing.jsonl", "student.replay_path"),
        ("evaluate.judge", "oracle", "evaluate.judge"),
    ],
)
def test_a_bad_recipe(refuse, dotted, value, message):
    assert message in refuse(setting(dotted, value))


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "no prompts"),
        ("{not json}\n", "line 1"),
        ('{"prompt": "Hi"}\n{"prompt": ""}\n', "line 2"),
        ('{"prompt": 3}\n', "line 1"),
        ('{"question": "Hi"}\n', "line 1"),
        ('{"messages": [{"role": "wizard", "content": "Hi"}]}\n', "wizard"),
    ],
)
def test_bad_prompts(refuse, tmp_path, text, message):
    path = tmp_path / "bad.jsonl"
    path.write_text(text)
    line = refuse(setting("prompts.path", str(path)))
    assert message in line and "bad.jsonl" in line


def test_a_missing_recipe(capsys, tmp_path):
    assert main(["align", str(tmp_path / "none.yaml")]) == 2
    assert "none.yaml" in capsys.readouterr().err


def test_an_override_of_an_unknown_key(refuse):
    assert "policy.bet" in refuse(lambda values: None, "--set", "policy.bet=1")


def test_a_tokenizer_without_a_chat_template(refuse, tmp_path, policy_dir):
    bare = tmp_path / "bare"
    shutil.copytree(policy_dir, bare)
    tokenizer = AutoTokenizer.from_pretrained(bare)
    tokenizer.chat_template = None
    (bare / "chat_template.jinja").unlink(missing_ok=True)
    tokenizer.save_pretrained(bare)
    line = refuse(setting("policy.model", str(bare)))
    assert "policy.model" in line and "chat template" in line


def test_a_teacher_with_two_labels(refuse, tmp_path, llama_reward_dir):
    two = tmp_path / "two"
    shutil.copytree(llama_reward_dir, two)
    config = LlamaConfig.from_pretrained(two)
    config.num_labels = 2
    LlamaForSequenceClassification(config).save_pretrained(two)
    line = refuse(setting("teacher.model", str(two)))
    assert "teacher.model" in line and "label" in line


def test_a_model_whose_template_refuses_a_role_of_the_prompts(refuse, tmp_path, bert_reward_dir):
    """Two models with no common rendering: one knows system messages, the other refuses them."""
    strict = tmp_path / "strict"
    shutil.copytree(bert_reward_dir, strict)
    tokenizer = AutoTokenizer.from_pretrained(strict)
    refusal = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    )
    tokenizer.chat_template = refusal + tokenizer.chat_template
    tokenizer.save_pretrained(strict)
    prompts = tmp_path / "system.jsonl"
    turns = [{"role": "system", "content": "Be brief."}]
    rows = [{"messages": [*turns, {"role": "user", "content": f"Say {i}"}]} for i in range(60)]
    prompts.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def change(values):
        setting("prompts.path", str(prompts))(values)
        setting("student.model", str(strict))(values)

    line = refuse(change)
    assert "student.model" in line and "system" in line


def test_a_prompt_longer_than_allowed(refuse):
    line = refuse(setting("prompts.max_tokens", 8))
    assert "prompts.max_tokens" in line


def test_a_loss_that_is_not_finite_loses_nothing(tmp_path, tiny_recipe, write_recipe, capsys):
    values = copy.deepcopy(tiny_recipe)
    values["policy"]["learning_rate"] = 1e30
    arguments = ["--store", str(tmp_path / "store"), "--runs-dir", str(tmp_path / "runs")]
    assert main(["align", str(write_recipe(values)), "--quiet", *arguments]) == 2
    error = capsys.readouterr().err
    assert "not finite" in error and "learning_rate" in error
    assert list((tmp_path / "store" / "completions").iterdir()), "finished work is kept"
