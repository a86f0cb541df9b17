"""Loading a model runs no code of its folder: no pickles, no Python files."""

import ast
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from data.errors import InputError
from data.recipes.recipe import RuntimeConfig
from models.architectures import check_architecture
from models.chat import load_tokenizer
from models.checkpoints import check_policy
from models.engines import open_engine
from models.rewards import load_scorer
from tests.repository import ROOT

CALLS = [
    (path.relative_to(ROOT), call)
    for layer in ("models", "tasks", "reports", "flows", "bench", "cli")
    for path in sorted((ROOT / layer).rglob("*.py"))
    for call in ast.walk(ast.parse(path.read_text()))
    if isinstance(call, ast.Call) and ast.unparse(call.func).endswith(".from_pretrained")
]


@pytest.mark.parametrize("place, call", CALLS, ids=lambda item: getattr(item, "lineno", str(item)))
def test_no_call_reads_pickles_or_trusts_code_by_itself(place: Path, call: ast.Call) -> None:
    given = {word.arg: ast.unparse(word.value) for word in call.keywords}
    assert given.get("trust_remote_code", "False") != "True"
    if not is_side_file(ast.unparse(call.func)):  # or from no files at all
        assert given.get("use_safetensors") == "True" or ast.unparse(call.args[0]) == "None"


def test_weights_are_read_in_one_place() -> None:
    """But for a GGUF file, and nowhere by a name of its own: no other call could forget a check."""
    loads = [path.name for path, call in CALLS if not is_side_file(ast.unparse(call.func))]
    assert sorted(loads) == ["gguf.py", "loading.py", "loading.py"]


def is_side_file(call: str) -> bool:
    sides = "AutoConfig AutoTokenizer GenerationConfig AutoImageProcessor CLIPVisionConfig".split()
    return call.removesuffix(".from_pretrained") in sides


class Touch:
    """A pickle that writes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch '{self.path}'",)


def as_policy(folder: Path) -> None:
    open_engine("transformers", folder, RuntimeConfig(), 64, seed=0).close()


def as_reward_model(folder: Path) -> None:
    load_scorer(folder, RuntimeConfig(), 64).close()


@pytest.mark.parametrize("load", [as_policy, as_reward_model, check_policy])
def test_pickled_weights_are_not_opened(
    load: Callable[[Path], None], policy_dir: Path, llama_reward_dir: Path, tmp_path: Path
) -> None:
    folder, trace = tmp_path / "model", tmp_path / "trace"
    shutil.copytree(llama_reward_dir if load is as_reward_model else policy_dir, folder)
    (folder / "model.safetensors").unlink()
    torch.save({"a": Touch(trace)}, folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="safetensors"):
        load(folder)
    assert not trace.exists()
    torch.load(folder / "pytorch_model.bin", weights_only=False)
    assert trace.exists()  # it would have run


@pytest.fixture
def own_code(policy_dir: Path, tmp_path: Path) -> Path:
    """A policy whose configuration, tokenizer and model come with Python code."""
    folder = tmp_path / "model"
    shutil.copytree(policy_dir, folder)
    (folder / "own.py").write_text(
        f"open({str(tmp_path / 'trace')!r}, 'w').close()\n"
        "from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast\n"
        "class OwnConfig(LlamaConfig):\n    model_type = 'own'\n"
        "class OwnModel(LlamaForCausalLM):\n    config_class = OwnConfig\n"
        "class OwnTokenizer(PreTrainedTokenizerFast):\n    pass\n"
    )
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "own",
        "auto_map": {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    path = folder / "tokenizer_config.json"
    values = json.loads(path.read_text())
    values |= {"tokenizer_class": "OwnTokenizer"}
    values |= {"auto_map": {"AutoTokenizer": [None, "own.OwnTokenizer"]}}
    path.write_text(json.dumps(values))
    return folder


def test_code_beside_a_model_runs_only_if_it_is_trusted(
    own_code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = own_code.parent / "trace"
    monkeypatch.setattr("builtins.input", lambda *_: "y")  # no one is asked, either
    with pytest.raises(InputError, match="needs Python code of its own; read it"):
        check_architecture(own_code, "policy.model", trust_remote_code=False)
    for load in (load_tokenizer, as_policy):
        with pytest.raises(InputError):
            load(own_code)
    assert not trace.exists()
    check_architecture(own_code, "policy.model", trust_remote_code=True)
    assert trace.exists()
