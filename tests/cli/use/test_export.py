"""What is handed on: the same bytes as in the store, and a card that says how to use them."""

import copy
import os
import re
import shutil
from contextlib import chdir, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from cli.main import main
from cli.use.model_card import PLEASED
from cli.use.policies_of import policy_of
from data.store.digests import file_digest, tree_digest
from flows.logged.recipe import LoggedStudent
from reports.text import interval, percent
from tests.cli.use.used import Place, copied, none_adopted
from tests.fixtures.runs import linked


@pytest.fixture(scope="module")
def place(tiny_run):
    return Place(tiny_run)


@pytest.fixture(scope="module")
def lora_run(without_prefect, tiny_recipe, finished_run, write_recipe, tmp_path_factory):
    """Two rounds with adapters, each on the merged weights of the one before."""
    values = copy.deepcopy(tiny_recipe)
    values["policy"] |= {"method": "lora", "adapter": {"r": 4, "alpha": 8}, "learning_rate": 1e-2}
    place = Place(linked(finished_run, tmp_path_factory.mktemp("lora")))
    assert main(["align", str(write_recipe(values)), "--quiet", *place.options]) == 0
    return place


@pytest.fixture
def export(place, tmp_path, capsys):
    def call(*options, run="tiny", at=place, to="out", status=0):
        folder = tmp_path / to
        code = main(["export", run, "--to", str(folder), *options, *at.options])
        printed = capsys.readouterr()
        assert code == status, printed.err
        if status:
            assert printed.err.count("\n") == 1 and not folder.exists()
            return printed.err
        return folder

    return call


def snippet(folder):
    """The card's Python, run in the exported folder; what it prints."""
    card = (folder / "README.md").read_text()
    code = re.search(r"```python\n(.*?)```", card, re.DOTALL)[1]
    with chdir(folder), redirect_stdout(StringIO()) as printed:
        exec(code, {})
    return printed.getvalue()


def test_merged_weights_are_those_of_the_store(export, place):
    folder = export(to="a folder/with spaces")
    policy = policy_of(place.store, place.summary())
    record = place.store.record(policy.artifact)
    assert {path.name for path in folder.iterdir()} == {*record.files, "README.md"}
    for name, file in record.files.items():
        assert file_digest(folder / name, fresh=True) == file.sha256
    assert [path.name for path in folder.parent.iterdir()] == ["with spaces"]
    assert snippet(folder).endswith("\n")


def test_the_card_says_what_was_measured_and_by_whom(export, place):
    card = (export() / "README.md").read_text()
    summary = place.summary()
    result = summary.rounds[1].policy
    assert card.startswith("---\nlibrary_name: transformers\n")
    assert f"**{percent(result.win_rate)}** (95 % interval {interval(result.ci95)})" in card
    assert "Judged by the teacher (" in card and PLEASED in card
    assert summary.links["policy"] in card and summary.config_digest in card
    assert "| split test | 20 | sha256:" in card
    assert "vllm serve . --served-model-name tiny" in card
    assert "The base's folder says nothing of a licence" in card
    assert str(Path.home()) not in card and "/tmp" not in card


def test_the_base_and_its_licence(export, tiny_run, tmp_path, policy_dir):
    """Named by its folder's card, its text copied."""
    place = copied(tiny_run, tmp_path / "copy")
    base = tmp_path / "base"
    shutil.copytree(policy_dir, base)
    (base / "README.md").write_text("---\nlicense: cc-by-4.0\n---\nA model.\n")
    (base / "LICENSE.txt").write_text("Be kind.\n")
    digest = tree_digest(base)

    def licensed(summary):
        summary.config["policy"]["model"] = str(base)

    place.change("licensed", licensed)
    folder = export(run="licensed", at=place, to="other")  # the base has changed: nothing known
    assert "says nothing of a licence" in (folder / "README.md").read_text()
    from cli.use import policies_of

    real = policies_of.start_of
    policies_of.start_of = lambda *_: digest
    try:
        folder = export(run="licensed", at=place)
    finally:
        policies_of.start_of = real
    card = (folder / "README.md").read_text()
    assert "license: cc-by-4.0\n" in card and "Copied from the base's folder: LICENSE.txt." in card
    assert (folder / "LICENSE.txt").read_text() == "Be kind.\n"


def test_an_earlier_round_and_one_that_was_not_adopted(export, tiny_run, tmp_path):
    place = copied(tiny_run, tmp_path / "copy")
    place.change("refused", none_adopted)
    assert "no round's policy was adopted" in export(run="refused", at=place, status=2)
    folder = export("--round", "1", run="refused", at=place)
    card = (folder / "README.md").read_text()
    assert "# refused, round 1\n" in card and "**This round's policy was not adopted**" in card
    digest = policy_of(place.store, place.summary("refused"), 1).digest
    (folder / "README.md").unlink()
    assert tree_digest(folder) == digest


def test_a_full_policy_has_no_adapter(export):
    assert "round 1 has no adapter" in export("--adapter", status=2)


def test_adapters_of_two_rounds_give_the_merged_weights_on_the_base(export, lora_run, policy_dir):
    merged, joined = export(at=lora_run), export("--adapter", at=lora_run, to="adapter")
    assert not (merged / "adapter").exists()
    assert {"adapter_config.json", "adapter_model.safetensors"} <= set(os.listdir(joined))
    assert not (joined / "model.safetensors").exists()
    card = (joined / "README.md").read_text()
    assert "It joins the adapters of rounds 1, 2" in card and "library_name: peft" in card
    base = AutoModelForCausalLM.from_pretrained(policy_dir)
    untouched = {name: value.clone() for name, value in base.state_dict().items()}
    found = PeftModel.from_pretrained(base, joined).merge_and_unload().state_dict()
    wanted = AutoModelForCausalLM.from_pretrained(merged).state_dict()
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5)
    assert any(not torch.equal(untouched[name], value) for name, value in wanted.items())


def test_one_rounds_adapter_is_copied_as_it_is(export, lora_run, policy_dir):
    folder = export("--adapter", "--round", "1", at=lora_run)
    policy = policy_of(lora_run.store, lora_run.summary(), 1)
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        assert (folder / name).read_bytes() == (policy.path / "adapter" / name).read_bytes()
    card = folder / "README.md"
    card.write_text(card.read_text().replace("path/to/the/base", str(policy_dir)))
    assert snippet(folder).endswith("\n")


def test_the_student_of_a_run(export, place):
    folder = export("--student")
    card = (folder / "README.md").read_text()
    assert "# tiny, student\n" in card and "pipeline_tag: text-classification" in card
    float(snippet(folder))
    stored = place.runs / "tiny" / "student"
    for path in folder.iterdir():
        if path.name != "README.md":
            assert path.read_bytes() == (stored / path.name).read_bytes()


def test_a_run_over_logged_answers_exports_its_student(export, tiny_run, tmp_path):
    place = copied(tiny_run, tmp_path / "copy")

    def logged(summary):
        logs = {"judge": "gpt", "completions": "answers.jsonl"}
        student = summary.config["student"]
        student = {name: student[name] for name in student if name in LoggedStudent.model_fields}
        summary.config = {"recipe": "logged", "run": "logged", "logged": logs, "student": student}
        summary.measures[summary.headline].judge = "gpt"
        summary.links.pop("policy")

    place.change("logged", logged)
    card = (export(run="logged", at=place) / "README.md").read_text()
    assert "from the judgments of a recorded judge (gpt)" in card
    assert "without --adapter and --round" in export(
        "--adapter", run="logged", at=place, status=2, to="second"
    )


def test_damage_leaves_nothing_behind(export, tiny_run, tmp_path):
    place = copied(tiny_run, tmp_path / "copy")
    weights = policy_of(place.store, place.summary()).path / "model.safetensors"
    with weights.open("r+b") as file:
        file.truncate(1000)
    assert "is not in the store" in export(at=place, status=2)
    assert {path.name for path in tmp_path.iterdir()} == {"copy"}


def test_a_folder_that_cannot_be_written(export, tmp_path):
    (tmp_path / "file").touch()
    line = export(to="file/out", status=2)
    assert "cannot be written" in line and line.startswith("tsalign: error: --to: ")


def test_an_empty_folder_is_used_and_another_is_not(place, tmp_path, capsys):
    call = ["export", "tiny", *place.options, "--to"]
    (tmp_path / "empty").mkdir()
    assert main([*call, str(tmp_path / "empty")]) == 0
    before = sorted(os.listdir(tmp_path / "empty"))
    assert main([*call, str(tmp_path / "empty")]) == 2
    assert "is not empty; name a new folder" in capsys.readouterr().err
    assert sorted(os.listdir(tmp_path / "empty")) == before
    (tmp_path / "file").touch()
    assert main([*call, str(tmp_path / "file")]) == 2
