"""Models that outlive a stage also outlive what Prefect does with the run that holds them."""

import copy
import gc
import json

import pytest

from cli.main import main
from data.recipes.recipe import RuntimeConfig
from data.store.store import Store
from flows.loop.round import align_round
from models.engines import vllm
from models.isolation import Child
from tasks.running.loaded import LoadedModels
from tasks.stage import Context, Run


class Counter:
    """What lives in a child process in place of an engine."""

    value = 0

    def add(self):
        self.value += 1
        return self.value


def test_prefect_is_shown_plain_parameters_and_no_model(tmp_path):
    """Fault 7: it copied what it showed, and a copied engine closed the real one's connection."""
    loaded = LoadedModels("vllm", RuntimeConfig())
    loaded._engine = child = Child(Counter)
    try:
        run = Run(Context(Store(tmp_path), RuntimeConfig(), loaded), progress=None, engine="")
        alive = {"run": run, "recipe": object(), "parts": object(), "state": object()}
        shown = align_round.parameters("tiny", 2, **alive)
        gc.collect()
        assert shown == json.loads(json.dumps(shown)) == {"name": "tiny", "number": 2}
        assert child.call("add") == 1
    finally:
        loaded.close()


@pytest.mark.vllm
@pytest.mark.slow
@pytest.mark.usefixtures("prefect")
def test_vllm_starts_once_for_all_rounds(tmp_path, tiny_recipe, write_recipe, monkeypatch):
    starts = []
    start = vllm.start_vllm
    monkeypatch.setattr(vllm, "start_vllm", lambda *a, **k: starts.append(a) or start(*a, **k))
    values = copy.deepcopy(tiny_recipe)
    values["generate"]["engine"] = "vllm"
    recipe = str(write_recipe(values))
    folders = ["--store", str(tmp_path / "store"), "--runs-dir", str(tmp_path / "runs")]
    assert main(["align", recipe, "--quiet", *folders]) == 0
    assert values["rounds"] == 2
    assert len(starts) == 1
