"""A base policy without a chat template is given one: by name or by a file, for good."""

import shutil
from pathlib import Path

import pytest

from cli.main import main
from data.readers.prompts import read_prompt_file
from data.summary import read_summary
from flows.outside import outside_of
from flows.preflight.inputs import check_inputs, inspect
from flows.series import freeze, going_on
from flows.table import recipe_from
from models.chat import load_tokenizer
from models.templates import stop_marks
from tests.fixtures.models import CHATML
from tests.flows import flips

OWN = CHATML.replace("'\\n'", "'\\n\\n'")


@pytest.fixture
def base(tiny_recipe, tmp_path):
    """The tiny policy as a base model: without a chat template."""
    folder = tmp_path / "base model"
    shutil.copytree(tiny_recipe["policy"]["model"], folder)
    (folder / "chat_template.jinja").unlink()
    return folder


@pytest.fixture
def recipe_of(tiny_recipe, base):
    def make(template=None, model=base, **changes):
        policy = tiny_recipe["policy"] | {"model": str(model), "template": template}
        return recipe_from(tiny_recipe | {"policy": policy} | changes)

    return make


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "own file.jinja"
    path.write_text(OWN)
    return path


def test_by_name_and_by_file(recipe_of, own):
    for template in ("plain", "chatml", str(own)):
        assert check_inputs(recipe_of(template)) == []


def test_without_one_a_base_model_is_refused_with_the_remedy(recipe_of):
    (problem,) = inspect(recipe_of()).findings.problems
    assert problem == (
        "policy.model: the tokenizer has no chat template; set one and save it, or name one in "
        "policy.template (plain, chatml or a Jinja file)"
    )


def test_a_file_takes_the_place_of_the_models_own_and_a_name_does_not(recipe_of, own, policy_dir):
    (note,) = check_inputs(recipe_of(str(own), policy_dir))
    takes = f"'{own}' takes the place of the chat template of '{policy_dir}'"
    assert note == f"policy.template: {takes}"
    for name in ("plain", "chatml"):
        (problem,) = inspect(recipe_of(name, policy_dir)).findings.problems
        assert "has a chat template of its own; leave policy.template out" in problem


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("plian", "'plian' is no file here (did you mean plain?); use plain, chatml or the path"),
        ("no/such.jinja", "'no/such.jinja' is no file here; use plain, chatml or the path of a"),
        ("{tmp}", "is a folder; name a file in it"),
        ("{tmp}/empty", "is no chat template: empty, no UTF-8 text, or over a megabyte"),
        ("{tmp}/latin", "is no chat template: empty, no UTF-8 text, or over a megabyte"),
        ("{tmp}/loud", "policy.template: the chat template refuses a conversation of roles user"),
        ("{tmp}/silent", "policy.template: the chat template drops an assistant's answer"),
        ("{tmp}/marks", "the chat template ends answers at [1], which is no JSON list of texts"),
        ("~no.one/x", "policy.template: '~no.one/x': there is no user 'no.one' here"),
        ("~/no.one", "'~/no.one' is no file here"),
    ],
)
def test_a_template_of_no_use_is_one_line(recipe_of, tmp_path, template, says):
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "latin").write_bytes("é".encode("latin-1"))
    (tmp_path / "loud").write_text("{{ raise_exception('no') }}")
    (tmp_path / "silent").write_text("<s>")
    (tmp_path / "marks").write_text("{# ends at [1] #}" + CHATML)
    (problem,) = inspect(recipe_of(template.replace("{tmp}", str(tmp_path)))).findings.problems
    assert says in problem and problem.startswith("policy.template: ")


def test_chatml_needs_its_tokens(recipe_of, base):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        text = (base / name).read_text()
        (base / name).write_text(text.replace("<|im_start|>", "<|turn|>"))
    (problem,) = inspect(recipe_of("chatml")).findings.problems
    assert problem.startswith("policy.template: chatml marks turns with <|im_start|>, which is no")


def test_where_there_is_no_base_model_it_is_refused(refuse_change, tiny_recipe):
    world = {"policy.template": "plain", "policy.model": "world", "world": {}}
    assert "policy.template: the world's policy has its own" in refuse_change(world)
    logged = {"policy.template": "plain", "logged.completions": "x.jsonl", "rounds": 1}
    assert "policy.template: there is no policy here" in refuse_change(logged)


def key(recipe, tmp_path):
    calls = flips.plan(recipe, tmp_path / "store")
    (found,) = (key for stage, key in calls.values() if stage == "set_template")
    return found


def test_it_is_in_the_key_by_name_or_by_content(recipe_of, own, tmp_path):
    plain, chatml = (key(recipe_of(name), tmp_path) for name in ("plain", "chatml"))
    assert plain != chatml and plain["template"] == "plain"
    before = key(recipe_of(str(own)), tmp_path)
    shutil.copyfile(own, tmp_path / "copy.jinja")
    assert key(recipe_of(str(tmp_path / "copy.jinja")), tmp_path) == before
    own.write_text(OWN + "{# changed #}")
    assert key(recipe_of(str(own)), tmp_path) != before
    assert outside_of(recipe_of(str(own)))["policy.template"].path == str(own)
    assert "policy.template" not in outside_of(recipe_of("plain"))


def test_recipes_of_other_templates_are_not_compared(recipe_of):
    """Their base policies answer otherwise."""
    plain, chatml = (recipe_of(name) for name in ("plain", "chatml"))
    assert plain.yardstick() == recipe_of("plain").yardstick() != chatml.yardstick()


def test_the_next_run_of_a_series_starts_from_a_policy_that_has_it(recipe_of, tmp_path):
    recipe = recipe_of("plain")
    table = read_prompt_file(recipe.prompts.path).table
    for part, rows in {"prompts": table, "dev": table[:2], "test": table[2:4]}.items():
        freeze(tmp_path / f"{part}.parquet", rows)
    assert going_on(recipe, "a", tmp_path, None).policy.template == "plain"
    for part in ("policy", "student"):
        (tmp_path / "last" / part).mkdir(parents=True)
    assert going_on(recipe, "a", tmp_path, tmp_path / "last").policy.template is None


@pytest.mark.slow
def test_an_aligned_base_model_chats_as_it_was_trained(
    prefect, recipe_of, base, write_recipe, tmp_path, capsys
):
    values = recipe_of("plain", rounds=1).model_dump(mode="json", exclude_unset=True)
    where = ["--store", str(tmp_path / "store"), "--runs-dir", str(tmp_path / "runs")]
    path = write_recipe(values)
    assert main(["align", str(path), "--quiet", *where]) == 0
    summary = read_summary(tmp_path / "runs/tiny/summary.json")
    assert summary.finished and summary.rounds[0].ledger.trained
    tokenizer = load_tokenizer(Path(tmp_path / "runs/tiny/policy"))
    assert tokenizer.chat_template.endswith("{{- 'Assistant:\\n' -}}{%- endif -%}")
    assert stop_marks(tokenizer) == ("\nUser:",)
    assert not load_tokenizer(base).chat_template, "the user's folder stays as it is"
    assert main(["align", str(path), *where]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert main(["align", str(path), "--set", "policy.template=chatml", "--quiet", *where]) == 0
    again = read_summary(tmp_path / "runs/tiny/summary.json")
    assert not any(stage.cached for stage in again.rounds[0].stages if stage.stage == "generate")
