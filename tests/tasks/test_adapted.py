"""Which adapters a policy is made of, as a run has trained them, and when they are served."""

import json

import pytest

from data.recipes.recipe import RuntimeConfig
from data.recipes.training import PolicyConfig
from data.store.digests import tree_digest
from data.store.store import Store
from models.adapted import Adapted
from tasks.running.books import Books
from tasks.running.loaded import LoadedModels
from tasks.running.outside import External
from tasks.running.progress import Progress
from tasks.stage import Context, Model, Run, stage


@stage("policy", version="1")
def train(ctx: Context, *, policy: Model, config: PolicyConfig, seed: int) -> dict:
    (ctx.out / "weights.json").write_text(json.dumps(seed))
    if config.adapter:
        folder = ctx.out / "adapter"
        folder.mkdir()
        (folder / "adapter_config.json").write_text(json.dumps({"r": config.adapter.r}))
    return {}


@pytest.fixture
def run(tmp_path):
    loaded = LoadedModels("vllm", RuntimeConfig(), adapters=32)
    context = Context(Store(str(tmp_path / "store")), RuntimeConfig(), loaded)
    return Run(context, Progress(quiet=True), "none", books=Books(kept=False))


def policy(folder, name, r):
    """The folder of a policy of these ranks."""
    (folder / name / "adapter").mkdir(parents=True)
    (folder / name / "adapter" / "adapter_config.json").write_text(json.dumps({"r": r}))
    (folder / name / "config.json").write_text("{}")
    return folder / name


def test_adapters_back_to_the_last_policy_that_was_trained_whole(run, tmp_path):
    folder = policy(tmp_path, "base", 1)
    base = External(path=str(folder), digest=tree_digest(folder))
    lora, full = PolicyConfig(adapter={"r": 16}), PolicyConfig(method="full")
    for _ in range(2):  # computed, and found
        with run.active():
            first = train(policy=base, config=lora, seed=1)
            second = train(policy=first, config=lora, seed=2)
            whole = train(policy=second, config=full, seed=3)
            third = train(policy=whole, config=lora, seed=4)
        context = run.context
        path, adapted = context.store.path, context.adapted
        assert adapted(base) == Adapted(folder, base.digest, ())
        folders = (path(first) / "adapter", path(second) / "adapter")
        assert adapted(second) == Adapted(folder, base.digest, folders)
        assert adapted(second).rank == 32
        assert adapted(whole) == Adapted(path(whole), whole.digest, ())
        assert adapted(third) == Adapted(path(whole), whole.digest, (path(third) / "adapter",))
        context.parents.clear()


class Engine:
    """Notes what it is told to serve; the loaded models are what is tested."""

    def __init__(self):
        self.told = []

    def load(self, folder):
        self.told.append(folder.name)

    def adapt(self, folders, merged):
        self.told.append([folder.parent.name for folder in folders])


@pytest.fixture
def engine(monkeypatch):
    engine = Engine()
    monkeypatch.setattr("models.engines.open_engine", lambda *_: engine)
    return engine


def test_the_base_stays_and_what_has_no_room_is_handed_over_whole(engine, tmp_path):
    base, first, large = (policy(tmp_path, name, r) for name, r in (("b", 8), ("f", 8), ("l", 64)))

    def ask(loaded, model, *folders):
        adapted = Adapted(base, "base", tuple(one / "adapter" for one in folders))
        loaded.engine(model, model.name, adapted)

    loaded = LoadedModels("vllm", RuntimeConfig(), adapters=32)
    for model, folders in ((base, ()), (first, (first,)), (large, (large,)), (first, (first,))):
        ask(loaded, model, *folders)
    assert engine.told == [[], ["f"], "l", "b", ["f"]]
    engine.told.clear()
    for name, room in (("vllm", 0), ("transformers", 32)):
        loaded = LoadedModels(name, RuntimeConfig(), adapters=room)
        ask(loaded, base)
        ask(loaded, first, first)
    assert engine.told == ["f", "f"]
