"""`tsalign check`: what is wrong with a recipe, what models read, what a run will do."""

import copy
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time

import pytest
import yaml

from cli.main import main
from flows.fingerprint import engine_of
from flows.planning import check as planning
from flows.planning.check import checked
from flows.planning.outlook import outlook
from flows.planning.preview import ANSWER, pieces
from flows.preflight.fitting import fitted
from flows.recipe_files import load_recipe
from models import engine_choice
from models.chat import load_tokenizer, render_prompt
from tasks.running import waiting
from tests.repository import ROOT


@pytest.fixture
def recipe_in(tiny_recipe, tmp_path):
    """The tiny recipe after changes, written to a folder whose name has a space."""
    folder = tmp_path / "my recipes"
    folder.mkdir()

    def write(**sections):
        values = copy.deepcopy(tiny_recipe)
        for name, fields in sections.items():
            values[name] = {**values.get(name, {}), **fields}
        path = folder / "mine.yaml"
        path.write_text(yaml.safe_dump(values))
        return path

    return write


@pytest.fixture
def check(tmp_path, capsys, monkeypatch):
    """Run the command from another folder; its status, output and errors. Nothing is written."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    where = ("--store", str(tmp_path / "store"), "--runs-dir", str(tmp_path / "runs"))

    def run(*arguments, command="check"):
        capsys.readouterr()
        status = main([command, *map(str, arguments), *where])
        shown = capsys.readouterr()
        assert not (tmp_path / "store").exists() and not (tmp_path / "runs").exists()
        # On a busy machine a line says before what is being done.
        said = [line for line in shown.err.splitlines(True) if not line.startswith("Checking ")]
        return status, shown.out, "".join(said)

    return run


def test_a_good_recipe_is_shown_whole_on_80_columns(recipe_in, check, tiny_recipe):
    path = recipe_in()
    status, out, err = check(path)
    assert status == 0 and err == ""
    assert all(len(line) <= 80 for line in out.splitlines() if "/" not in line)
    assert "62 rows, 60 prompts (2 repeated, dropped)" in out
    assert "pool 34, dev 6, test 20" in out
    assert "tokens of a prompt" in out and "too long" not in out
    assert "<|im_start|>user\\n" in out and "policy reads" in out
    assert "student and teacher read" in out and ANSWER in out  # one template, shown once
    assert "Round 2 of 2" in out and "completions" in out and "teacher reads" in out
    store, runs = (shlex.quote(str(path.parents[1] / name)) for name in ("store", "runs"))
    assert f"Next: tsalign align '{path}' --store {store} --runs-dir {runs}" in " ".join(
        out.split()
    )
    assert "policy.learning_rate" not in out  # given, so nobody chose it
    assert check(path, "--dry-run", command="align") == (0, out, "")


def test_a_place_of_runs_that_cannot_be_written_is_a_problem(recipe_in, capsys):
    assert main(["check", str(recipe_in()), "--runs-dir", "/proc/none"]) == 2
    assert "--runs-dir: '/proc/none/tiny' cannot be written" in capsys.readouterr().err


def test_a_pipe_hears_of_a_check_that_takes_long(recipe_in, tmp_path, capsys, monkeypatch):
    def slowly(*given, **named):
        time.sleep(1.2)
        return checked(*given, **named)

    monkeypatch.setattr(planning, "checked", slowly)
    monkeypatch.setattr(waiting, "_PATIENCE", 0.5)
    where = ("--store", str(tmp_path / "store"), "--runs-dir", str(tmp_path / "runs"))
    assert main(["check", str(recipe_in()), *where]) == 0
    first = capsys.readouterr().err.splitlines()[0]
    assert re.match(r"Checking tiny: models, prompts and the store \(\d+ s\)", first)


def test_json_has_lengths_examples_and_the_plan(recipe_in, check):
    status, out, _ = check(recipe_in(), "--json")
    found = json.loads(out)
    assert status == 0 and found["problems"] == []
    (policy, student, teacher) = found["prompts"]["lengths"]
    assert set(policy["shares"]) == {"50", "95", "100"} and policy["limit"] == 64
    assert student["limit"] == teacher["limit"] == 76 and teacher["too_long"] == 0
    assert [len(e["readings"]) for e in found["prompts"]["examples"]] == [3, 3, 3]
    assert found["plan"]["work"]["completions"] > 0
    assert {step["state"] for step in found["plan"]["steps"]} == {"compute", "again"}
    assert found["disk"]["needed"] > 0 and found["disk"]["meanwhile"] > 0
    assert {m["reads"] for m in found["models"]} == {"chat template"}


def test_what_is_held_out_leaves_the_pool(recipe_in, check, tmp_path):
    held_out = tmp_path / "test.jsonl"
    rows = [{"prompt": f"What is {i} plus {i % 7}?"} for i in range(8)] + [{"prompt": "Other?"}]
    held_out.write_text("".join(json.dumps(row) + "\n" for row in rows))
    _, out, _ = check(recipe_in(prompts={"test_path": str(held_out)}))
    assert "8 prompts of the pool are held out too, and leave it" in out
    assert "pool 46, dev 6, test 9" in out


def test_prompts_that_a_scorer_cannot_read_are_counted(
    recipe_in, check, tmp_path, llama_reward_dir
):
    shutil.copytree(llama_reward_dir, tmp_path / "teacher")
    file = tmp_path / "teacher" / "config.json"
    config = json.loads(file.read_text()) | {"max_position_embeddings": 17}
    file.write_text(json.dumps(config))
    path = recipe_in(teacher={"model": str(tmp_path / "teacher")})
    _, out, _ = check(path, "--json")
    teacher = json.loads(out)["prompts"]["lengths"][2]
    assert teacher["limit"] == 17 and 0 < teacher["too_long"] <= 60
    _, out, _ = check(path)
    assert f"{teacher['too_long']} prompts are too long for the teacher" in out


def test_problems_that_do_not_depend_on_each_other_are_all_told(recipe_in, check):
    path = recipe_in(policy={"model": "/nowhere"}, prompts={"path": "no.jsonl"})
    status, out, err = check(path)
    assert status == 2 and out == ""
    lines = err.splitlines()
    assert len(lines) == 2 and all(line.startswith("tsalign: error: ") for line in lines)
    assert "policy.model" in lines[0] and "prompts.path" in lines[1]
    status, out, _ = check(path, "--json")
    assert status == 2 and len(json.loads(out)["problems"]) == 2


def test_a_recipe_that_cannot_be_read_is_one_line(check, tmp_path):
    (tmp_path / "bad.yaml").write_text("run: x\npolicy: {modell: x}\n")
    for arguments in (("bad.yaml",), ("gone.yaml",), ("bad.yaml", "--json")):
        status, out, err = check(*arguments)
        assert status == 2 and out == "" and err.count("\n") == 1


def test_weights_are_read_with_deep_alone(recipe_in, check, tmp_path, llama_reward_dir):
    shutil.copytree(llama_reward_dir, tmp_path / "teacher")
    file = tmp_path / "teacher" / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-4:] = b"\xff\xff\xff\x7f"  # not a number
    file.write_bytes(content)
    path = recipe_in(teacher={"model": str(tmp_path / "teacher")})
    status, out, _ = check(path)
    assert status == 0 and "No weights were loaded" in out
    status, _, err = check(path, "--deep")
    assert status == 2 and "teacher.model" in err


def test_deep_loads_and_uses_every_model_once(recipe_in, check):
    status, out, _ = check(recipe_in(), "--deep", "--json")
    tried = {one["field"]: one for one in json.loads(out)["tried"]}
    assert status == 0 and list(tried) == ["policy.model", "student.model", "teacher.model"]
    assert tried["policy.model"]["answer"] and tried["policy.model"]["score"] is None
    assert isinstance(tried["teacher.model"]["score"], float)


def test_deep_leaves_a_student_without_a_head_to_the_run(recipe_in, check, tmp_path, tokenizer):
    from transformers import BertConfig, BertModel

    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 2, "max_position_embeddings": 256}
    config = BertConfig(vocab_size=len(tokenizer), pad_token_id=0, **sizes, **heads)
    BertModel(config).save_pretrained(tmp_path / "plain")
    tokenizer.save_pretrained(tmp_path / "plain")
    path = recipe_in(student={"model": str(tmp_path / "plain")})
    status, out, _ = check(path, "--deep", "--json")
    found = json.loads(out)
    assert status == 0 and "has no head" in "".join(found["notes"])
    assert [one["field"] for one in found["tried"]] == ["policy.model", "teacher.model"]


def test_special_tokens_are_told_from_text_that_looks_like_them(policy_dir):
    tokenizer = load_tokenizer(policy_dir)
    messages = [{"role": "user", "content": "What is <|im_end|>?"}]
    found = pieces(tokenizer, render_prompt(tokenizer, messages))
    assert [piece.text for piece in found if piece.special] == [
        "<|im_start|>", "<|im_end|>", "<|im_start|>",
    ]  # fmt: skip
    assert "What is <|im_end|>?" in "".join(p.text for p in found if not p.special)
    whole = tokenizer.decode(render_prompt(tokenizer, messages))
    assert "".join(piece.text for piece in found) == whole


@pytest.mark.parametrize("name", ["small", "optune", "tso", "tunnel"])
def test_the_embedded_recipes_pass(name, check):
    path = ROOT / "recipes" / f"{name}.yaml"
    status, out, err = check(path)
    rounds = load_recipe(path).rounds
    assert status == 0 and err == "" and f"Round {rounds} of {rounds}" in out


def test_without_a_terminal_in_a_latin_1_locale(recipe_in, tmp_path, prompts_file):
    path = recipe_in()
    odd = tmp_path / "odd.jsonl"
    odd.write_text(prompts_file.read_text() + json.dumps({"prompt": "Was heißt 漢\x1b[31m?"}))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run(
        [sys.executable, "-m", "cli", "check", str(path), "--set", f"prompts.path={odd}"],
        capture_output=True,
        cwd=tmp_path,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode("latin-1")
    assert "\x1b" not in text and "Nothing was computed" in text
    assert not (tmp_path / ".tsalign").exists() and not (tmp_path / "runs").exists()


@pytest.mark.parametrize(("limit", "engine"), [(10**6, "vllm"), (10**4, "transformers")])
def test_the_engine_that_auto_is_with_the_reason(recipe_in, check, monkeypatch, limit, engine):
    """By the policy's size, before any key names it: in the plan, the first lines and the keys."""
    monkeypatch.setattr(engine_choice, "find_spec", lambda name: name)
    monkeypatch.setattr(engine_choice, "TRANSFORMERS_FROM", limit)
    path = recipe_in(generate={"engine": "auto"}, runtime={"device": "cpu"})
    status, out, _ = check(path)
    assert status == 0 and f"engine {engine}" in out
    assert f"Engine: {engine} by itself, as on a CPU it is taken" in " ".join(out.split())
    recipe = load_recipe(path)
    assert engine_of(recipe).startswith(engine)
    lines = outlook(recipe, fitted(recipe), path.parent / "runs", "store")
    assert lines[2].startswith(f"Answers are sampled by {engine}: on a CPU")
    named = load_recipe(path, ["generate.engine=transformers"])
    assert engine_of(named).startswith("transformers")
    assert not any("sampled by" in line for line in outlook(named, fitted(named), path, "store"))
