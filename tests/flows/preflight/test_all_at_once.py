"""Problems that do not depend on each other are told together, a line each."""

import json
import pickle
import shutil
import sys
from types import SimpleNamespace

import pytest
import yaml

from cli.main import main
from data.errors import InputError, InputErrors
from flows.preflight import inputs
from flows.preflight.findings import Findings
from flows.preflight.fitting import fitted
from flows.preflight.inputs import check_inputs, inspect
from flows.table import recipe_from
from tests.flows.preflight.defects import cut, poisoned, removed, template


def test_several_errors_are_an_input_error_of_several_lines():
    error = InputErrors("a: one\nof two", "b: \udcff")
    assert error.problems == ("a: one of two", "b: \\udcff")
    assert str(error) == "a: one of two\nb: \\udcff" and error.exit_code == 2
    again = pickle.loads(pickle.dumps(error))
    assert isinstance(again, InputErrors) and again.problems == error.problems
    assert InputError("x\ny").problems == ("x y",)


def test_findings_keep_what_is_met_once_and_raise_it_in_order():
    def check(*lines):
        if lines:
            raise InputErrors(*lines) if len(lines) > 1 else InputError(lines[0])
        return "fine"

    found = Findings()
    found.refuse()
    assert found.attempt(check) == "fine" and found.attempt(check, "a") is None
    with pytest.raises(InputError, match="^a$") as one:
        found.refuse()
    assert type(one.value) is InputError
    found.attempt(check, "b", "a", "c")
    with pytest.raises(InputErrors) as several:
        found.refuse()
    assert several.value.problems == ("a", "b", "c")
    with pytest.raises(ZeroDivisionError):
        found.attempt(lambda: 1 // 0)


@pytest.fixture
def damaged(tiny_recipe, tmp_path):
    """The tiny recipe with a defect in each of some models, and other prompts."""

    def make(prompts=None, **defects):
        values = json.loads(json.dumps(tiny_recipe))
        for part, defect in defects.items():
            shutil.copytree(values[part]["model"], tmp_path / part)
            defect(tmp_path / part)
            values[part]["model"] = str(tmp_path / part)
        if prompts is not None:
            (tmp_path / "p.jsonl").write_text(prompts)
            values["prompts"]["path"] = str(tmp_path / "p.jsonl")
        return values

    return make


def problems(values):
    with pytest.raises(InputErrors) as caught:
        check_inputs(recipe_from(values))
    return caught.value.problems


NO_TEMPLATE = removed("chat_template.jinja")


def test_every_model_and_file_has_its_line(damaged):
    values = damaged(
        '{"prompt": 3}\n', policy=removed("model.safetensors"), student=cut, teacher=cut
    )
    values["student"]["replay_path"] = "nowhere.jsonl"
    policy, student, teacher, prompts, replay = problems(values)
    assert policy.startswith("policy.model: ") and "no .safetensors file" in policy
    assert student.startswith("student.model: ") and "is damaged" in student
    assert teacher.startswith("teacher.model: ") and "is damaged" in teacher
    assert "p.jsonl line 1: prompt must be" in prompts
    assert replay.startswith("student.replay_path: ")


def test_a_model_that_fails_is_asked_nothing_more_and_the_others_are(damaged):
    loud = template("{{ raise_exception('no') }}")
    policy, teacher = problems(damaged(policy=loud, teacher=NO_TEMPLATE))
    assert policy.startswith("policy.model: the chat template refuses")
    assert teacher.startswith("teacher.model: the tokenizer has no chat template")


def test_weights_of_all_models_are_read_before_any_is_refused(damaged):
    policy, student = problems(
        damaged(policy=poisoned("model.norm.weight"), student=poisoned("classifier.weight"))
    )
    assert "model.norm.weight" in policy and "classifier.weight" in student


def test_lengths_of_the_others_are_fitted_beside_a_broken_model(damaged, tmp_path):
    """No limit of a model's own is broken by defaults that it would have lowered."""
    values = damaged("{", teacher=cut)
    for section, field in (("prompts", "max_tokens"), ("generate", "max_tokens")):
        del values[section][field]
    del values["policy"]["max_length"], values["student"]["max_length"]
    found = problems(fitted(recipe_from(values)).model_dump())
    assert [line.split(":")[0] for line in found] == ["teacher.model", f"{tmp_path}/p.jsonl line 1"]


def test_who_looks_first_is_told_of_files_and_templates_at_once(damaged):
    values = damaged("{", student=NO_TEMPLATE, teacher=cut, policy=poisoned("model.norm.weight"))
    recipe = recipe_from(values)
    found = inspect(recipe).findings
    assert [line.split(":")[0].split(" ")[0].rpartition("/")[2] for line in found.problems] == [
        "teacher.model", "p.jsonl", "student.model",
    ]  # fmt: skip
    deep = inspect(recipe, weights=True).findings
    assert deep.problems[:3] == found.problems
    assert any("model.norm.weight holds a NaN" in line for line in deep.problems[3:])
    with pytest.raises(InputErrors) as caught:
        check_inputs(recipe)
    assert list(caught.value.problems) == found.problems[:2]


def test_what_the_machine_lacks_is_refused_before_a_file_is_read(damaged, monkeypatch):
    recipe = recipe_from(damaged("{") | {"runtime": {"device": "cuda"}})
    monkeypatch.setattr(inputs, "check_files", lambda *_: pytest.fail("read"))
    with pytest.raises(InputError, match="^runtime.device: "):
        check_inputs(recipe)


def test_a_recipe_that_was_just_checked_is_not_checked_again(damaged):
    wrong, other = recipe_from(damaged("{")), recipe_from(damaged("{") | {"seed": 7})
    with inputs.checked(wrong, ["a note"]):
        assert check_inputs(wrong) == ["a note"]
        with pytest.raises(InputError, match="p.jsonl"):
            check_inputs(other)
    with pytest.raises(InputError, match="p.jsonl"):
        check_inputs(wrong)


def test_a_command_looks_once(without_prefect, tiny_copy, tiny_recipe, write_recipe, monkeypatch):
    seen, look = [], inputs.check_files
    monkeypatch.setattr(inputs, "check_files", lambda *given: seen.append(given) or look(*given))
    places = ("--store", str(tiny_copy / "store"), "--runs-dir", str(tiny_copy / "runs"))
    assert (
        main(["align", str(write_recipe(tiny_recipe)), "--run", "again", "--quiet", *places]) == 0
    )
    assert len(seen) == 1


def test_the_command_line_prints_a_line_each(damaged, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "flows.align", SimpleNamespace())
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(damaged(policy=cut, teacher=cut)))
    places = ("--store", str(tmp_path / "s"), "--runs-dir", str(tmp_path / "r"))
    assert main(["align", str(path), *places]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and all(line.startswith("tsalign: error: ") for line in lines)
    assert "policy.model: " in lines[0] and "teacher.model: " in lines[1]
    assert not (tmp_path / "s").exists()
