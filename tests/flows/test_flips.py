"""Every setting is in the keys of what it changes, or there is a reason why not."""

import ast
import re

import pytest

from data.recipes.recipe import RuntimeConfig
from flows.table import recipe_from
from models import devices
from tests.flows import flip_tables, flips
from tests.repository import ROOT

# Upper-case texts that are no environment variables.
OTHERS = set(
    "BYTE_ARRAY CAUSAL_LM MULTI_GPU OUT_DIR RUN_A RUN_B SC_CLK_TCK SC_PAGE_SIZE SC_PHYS_PAGES "
    "SEQ_CLS".split()
)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return flips.all_affected(tmp_path_factory.mktemp("flips"))


def test_every_field_is_in_a_key_or_has_a_reason(found):
    """A new field fails here until it is used by a stage or the table says why it needs no key."""
    nowhere = {name.split(" ")[0] for name, stages in found.items() if not stages}
    assert nowhere == set(flip_tables.REASONS)
    known = set(found) | {name.partition(" ")[0] for name in found}
    assert set(flip_tables.FLIPS) <= known, "a row for a field that is gone"


@pytest.mark.parametrize(
    ("field", "stages"),
    [
        ("generate.temperature", {"generate"}),
        ("teacher.model", {"relabel", "score"}),
        ("policy.beta", {"optimize", "watch"}),
        ("student.loss.margin", {"distill"}),
        ("student.loss.margin (logged)", {"distill"}),
        ("matrix.max_length (matrix)", {"correct"}),
        ("scorer (best-of-n)", {"score"}),
        ("pick.min_margin (best-of-n)", {"pick"}),
        ("policy.epochs (best-of-n)", {"fine_tune"}),
        ("adpa.gamma (adpa)", {"adpa"}),
        ("adpa.clamp (adpa)", {"adpa"}),
        ("dckd.alpha (adpa)", {"dckd"}),
        ("date", {"generate", "reference", "optimize", "drift", "average"}),
        ("runtime.trust_remote_code", {"generate", "reference", "optimize", "drift", "average"}),
        ("prompts.path", {"import_prompts"}),
    ],
)
def test_a_field_changes_the_keys_of_its_stages(found, field, stages):
    assert found[field] == stages


def test_the_table_of_the_docs_is_current(found):
    """If not: python -m tests.flows.flips"""
    assert flips.DOCS.read_text() == flips.in_docs(flips.table(found))


def environment(tree):
    """Names of environment variables in a module: texts that look like one, and what is asked."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant):
            if re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+", str(node.value)):
                yield node.value
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "os.environ.get":
            yield from (a.value for a in node.args[:1] if isinstance(a, ast.Constant))


def test_every_environment_variable_of_the_code_is_in_the_table():
    rooms = ("data", "models", "tasks", "reports", "flows", "bench", "cli")
    layers = (ROOT / room for room in rooms)
    files = [file for layer in layers for file in layer.rglob("*.py")]
    named = {name for file in files for name in environment(ast.parse(file.read_text()))}
    many = r"^(MLFLOW|PREFECT|RAY|TRACKIO|WANDB)_.*"
    named = {re.sub(many, r"\1_*", name) for name in named - OTHERS}
    assert named == set(flip_tables.VARIABLES)


@pytest.mark.parametrize(
    "name", sorted(set(flip_tables.VARIABLES) - {"OPENAI_BASE_URL", "OPENAI_MODEL"})
)
def test_a_variable_is_in_the_key_if_the_table_says_so(tmp_path, monkeypatch, name):
    """Those of the server: tests/flows/test_identity.py."""
    monkeypatch.setattr(devices, "gpus", lambda: 1)
    monkeypatch.setattr(devices, "torch_has_cuda", lambda: True)
    variable = name.replace("*", "HOME")
    monkeypatch.delenv(variable, raising=False)
    places = flips.make_places(tmp_path)
    recipe = flips.recipe_of("own", {"runtime.device": "auto"}, places)
    before = flips.plan(recipe, tmp_path / "store")
    monkeypatch.setenv(variable, "" if name == "CUDA_VISIBLE_DEVICES" else "1")
    changed = flips.plan(recipe, tmp_path / "store") != before
    assert changed is (flip_tables.VARIABLES[name].key != "none")


def test_planning_finds_the_keys_of_a_real_run(tiny_run, tiny_recipe, tmp_path):
    """The plan of these tests is that of the flows: up to the first digest that it makes up."""
    from data.store.store import Store
    from data.summary import read_summary

    summary = read_summary(tiny_run / "runs" / "tiny" / "summary.json")
    recipe = recipe_from(tiny_recipe | {"date": summary.date})
    calls = flips.plan(recipe, tmp_path / "store")
    assert sorted(place.split(" ", 1)[1].rpartition(" ")[0] for place in calls) == sorted(
        record.stage for record in summary.stages()
    )
    store = Store(str(tiny_run / "store"))
    (first,) = (record for record in summary.stages() if record.stage == "read prompts.path")
    assert store.find(first.kind, calls["0 read prompts.path 1"][1]) is not None
    assert RuntimeConfig() == recipe.runtime
