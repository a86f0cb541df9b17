"""`generate.engine: auto`: vLLM on a GPU and for small models on a CPU, where it is installed."""

import pytest

from data.errors import InputError
from data.recipes.recipe import RuntimeConfig
from models import engine_choice
from models.engine_choice import TRANSFORMERS_FROM, choose

CPU, AUTO = RuntimeConfig(device="cpu"), RuntimeConfig()


@pytest.fixture
def installed(monkeypatch):
    def set_(there: bool) -> None:
        monkeypatch.setattr(engine_choice, "find_spec", lambda name: name if there else None)

    set_(True)
    return set_


@pytest.mark.parametrize(
    ("size", "engine"), [(TRANSFORMERS_FROM - 1, "vllm"), (TRANSFORMERS_FROM, "transformers")]
)
def test_on_a_cpu_the_size_decides(installed, size, engine):
    chosen = choose("auto", CPU, lambda: size)
    assert chosen.engine == engine and "1.0 billion parameters" in chosen.why


def test_a_gpu_has_vllm_whatever_the_size(installed, monkeypatch):
    monkeypatch.setattr("models.devices.has_cuda", lambda: True)
    assert choose("auto", AUTO, lambda: 10**11).engine == "vllm"
    assert choose("auto", CPU, lambda: 10**11).engine == "transformers"


def test_without_vllm_nothing_else_is_asked(installed):
    installed(False)
    assert choose("auto", CPU, pytest.fail) == ("transformers", "vLLM is not installed")
    with pytest.raises(InputError, match="vllm is not installed; use 'auto'"):
        choose("vllm", CPU, pytest.fail)


@pytest.mark.parametrize("named", ["vllm", "transformers", "openai"])
def test_a_named_engine_is_that_one(installed, named):
    assert choose(named, CPU, pytest.fail).engine == named
