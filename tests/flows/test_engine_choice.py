"""`engine: auto` and `engine: vllm` with a policy that the real vLLM cannot serve."""

import copy
import pickle

import pytest
import torch
from transformers import LlamaForCausalLM

from cli.main import main
from data.errors import InputError, UnservableError
from data.summary import read_summary
from models.engines import vllm
from models.vllm_server import refusal
from tests.fixtures.models import llama_config


@pytest.fixture(scope="module")
def narrow(tokenizer, tmp_path_factory):
    """Attention heads of 8, which vLLM knows on no CPU."""
    folder = tmp_path_factory.mktemp("narrow")
    torch.manual_seed(0)
    config = llama_config(tokenizer)
    config.num_attention_heads = config.num_key_value_heads = config.head_dim = 8
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def align(prefect, tiny_recipe, write_recipe, tmp_path, capsys):
    """Run one round of the tiny recipe on other models and engines."""

    def call(run, engine, policy=None, **changes):
        values = copy.deepcopy(tiny_recipe) | changes | {"rounds": 1, "run": run}
        values["generate"]["engine"] = engine
        values["policy"]["model"] = str(policy or values["policy"]["model"])
        where = ["--store", str(tmp_path / "store"), "--runs-dir", str(tmp_path / "runs")]
        code = main(["align", str(write_recipe(values)), *where])
        error = capsys.readouterr().err
        if code:
            return code, error, None
        return code, error, read_summary(tmp_path / "runs" / run / "summary.json")

    return call


@pytest.fixture
def starts(monkeypatch):
    """The starts of vLLM."""
    seen = []
    start = vllm.start_vllm
    monkeypatch.setattr(vllm, "start_vllm", lambda *a, **k: seen.append(a) or start(*a, **k))
    return seen


@pytest.mark.vllm
@pytest.mark.slow
def test_auto_falls_back_with_a_line_and_asks_vllm_once(align, narrow, starts):
    _, error, summary = align("first", "auto", narrow)
    said = "auto is transformers here: vLLM cannot serve the policy (Unsupported CPU attention"
    assert said in error and "Traceback" not in error
    assert summary.machine["engine"].startswith("transformers ")
    assert summary.rounds[0].ledger.trained and len(starts) == 1
    _, error, again = align("second", "auto", narrow)
    assert all(record.cached for record in again.stages()) and len(starts) == 1
    assert said in error


@pytest.mark.vllm
@pytest.mark.slow
def test_vllm_by_name_refuses_in_one_line(align, narrow):
    code, error, _ = align("refused", "vllm", narrow)
    last = error.splitlines()[-1]
    assert code == 2 and "Traceback" not in error
    assert last.startswith("tsalign: error: vLLM cannot start with") and "head_dim=8" in last
    assert last.endswith("use generate.engine=transformers")


@pytest.mark.vllm
@pytest.mark.slow
def test_auto_tries_every_sampler_and_starts_nothing_for_what_is_there(align, narrow, starts):
    cells = [{"name": "newest", "model": "policy", "scale": 2}]
    matrix = {"labels": "matrix", "student": {"model": "none"}}
    served = [*cells, {"name": "other", "model": "policy", "scale": 1}]
    _, error, summary = align("served", "auto", matrix={"cells": served}, **matrix)
    assert summary.machine["engine"].startswith("vllm ") and len(starts) == 1
    align("again", "auto", matrix={"cells": served}, **matrix)
    assert len(starts) == 1
    other = [*cells, {"name": "narrow", "model": str(narrow), "scale": 1}]
    _, error, summary = align("cells", "auto", matrix={"cells": other}, **matrix)
    assert "vLLM cannot serve matrix cell narrow" in error
    assert summary.machine["engine"].startswith("transformers ")


def test_only_a_refusal_of_the_model_is_an_answer():
    refused = refusal(ValueError("Model architectures ['X']\n are not supported"), "m")
    assert isinstance(refused, UnservableError) and "\n" not in str(refused)
    assert pickle.loads(pickle.dumps(refused)).reason == refused.reason  # it comes from a child
    full = refusal(torch.OutOfMemoryError("CUDA out of memory"), "m")
    assert isinstance(full, InputError) and not isinstance(full, UnservableError)
    busy = RuntimeError("EADDRINUSE, address already in use")
    assert refusal(busy, "m") is busy
