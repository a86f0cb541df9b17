"""prefect.yaml: what it deploys exists, and its presets are the recipes."""

import inspect
from importlib import import_module

import pytest
import yaml

from flows.recipe_files import load_recipe
from flows.table import recipe_from
from tests.repository import ROOT

DEPLOYMENTS = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda found: found["name"])
def test_a_deployment_is_a_flow_with_parameters_of_these_names(deployment):
    path, name = deployment["entrypoint"].split(":")
    flow = getattr(import_module(path.removesuffix(".py").replace("/", ".")), name)
    assert set(deployment["parameters"]) <= set(inspect.signature(flow.fn).parameters)
    assert deployment["work_pool"] == {"name": "tsalign"}


def test_the_preset_of_align_is_the_embedded_recipe():
    preset = next(d for d in DEPLOYMENTS if d["name"] == "align")["parameters"]["recipe"]
    assert recipe_from(preset) == load_recipe(ROOT / "recipes" / "embedded.yaml")


@pytest.mark.parametrize("recipe", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_recipe_of_the_project_loads(recipe):
    assert load_recipe(recipe).run
