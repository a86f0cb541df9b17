"""Engines that share the prompts of a call give what one of them gives."""

import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from data.errors import InputError
from data.recipes.recipe import ALONE, ParallelConfig, RuntimeConfig
from models import devices, engine_choice
from models.engine_choice import check_parallel
from models.engines import open_engine
from models.engines.base import Sampling
from models.engines.side_by_side import SideBySide, parallel_arguments

RUNTIME = RuntimeConfig(device="cpu")
PROMPTS = [[5, 6, 7], [8, 9], [10, 11, 12, 13], [5, 9], [7, 7, 7]]
SAMPLING = Sampling(k=3, temperature=1.0, top_p=1.0, max_tokens=6)


@pytest.fixture
def two(policy_dir: Path) -> Iterator[SideBySide]:
    side_by_side = SideBySide(
        [open_engine("transformers", policy_dir, RUNTIME, 64, 0) for _ in range(2)]
    )
    yield side_by_side
    side_by_side.close()


@pytest.mark.parametrize("count", [1, 2, 5])
def test_every_prompt_has_the_completions_it_has_by_one(
    count: int, two: SideBySide, policy_dir: Path, other_policy_dir: Path
) -> None:
    one = open_engine("transformers", policy_dir, RUNTIME, 64, 0)
    prompts, seeds, told = PROMPTS[:count], list(range(count)), []
    for model in (policy_dir, other_policy_dir):
        for engine in (one, two):
            engine.load(model)
        found = two.generate(prompts, seeds, SAMPLING, lambda *step: told.append(step))
        assert found == one.generate(prompts, seeds, SAMPLING)
        assert two.logprobs(prompts, [[4]] * count) == one.logprobs(prompts, [[4]] * count)
    assert told[-1] == (count, count)


class Broken:
    """Fails; the other never ends until it is closed."""

    name = version = "broken"

    def __init__(self, fails: bool) -> None:
        self.fails, self.closed = fails, threading.Event()

    def generate(self, *_: Any) -> Any:
        if self.fails:
            raise InputError("no")
        assert self.closed.wait(30), "it was waited for"
        raise ConnectionError("closed")

    def close(self) -> None:
        self.closed.set()


def test_when_one_fails_none_is_waited_for() -> None:
    engines = [Broken(fails=True), Broken(fails=False)]
    began = time.monotonic()
    with pytest.raises(InputError, match="^no$"):
        SideBySide(engines).generate(PROMPTS, range(5), SAMPLING)  # type: ignore[arg-type]
    assert all(engine.closed.is_set() for engine in engines) and time.monotonic() - began < 20


class Started:
    """What is asked of vLLM."""

    name = version = "vllm"

    def __init__(self, *arguments: Any, adapters: int = 0) -> None:
        self.parallel, self.gpus = arguments[4], arguments[5] if len(arguments) > 5 else None


def test_engines_have_gpus_of_their_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("models.engines.vllm.VllmEngine", Started)
    monkeypatch.setattr(engine_choice, "find_spec", lambda name: object())
    monkeypatch.setattr(devices, "gpus", lambda: 8)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7,5,3,1")
    asked = ParallelConfig(tensor=2, data=2)
    opened: Any = open_engine("vllm", tmp_path, RUNTIME, 64, 0, asked)
    assert [engine.gpus for engine in opened._engines] == [["7", "5"], ["3", "1"]]
    alone: Any = open_engine("vllm", tmp_path, RUNTIME, 64, 0)
    assert (alone.parallel, alone.gpus) == (ALONE, None)


def test_what_vllm_is_told() -> None:
    assert parallel_arguments(ALONE) == {}
    told = parallel_arguments(ParallelConfig(tensor=2, pipeline=3, data=4))
    assert told == {"tensor_parallel_size": 2, "pipeline_parallel_size": 3}
    installed = find_spec("vllm")  # whose import would change this process
    if installed and installed.origin:
        known = Path(installed.origin).with_name("engine").joinpath("arg_utils.py").read_text()
        assert all(f"    {name}: int = " in known for name in told)


def test_gpus_that_are_not_there_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ParallelConfig(tensor=2, pipeline=1, data=2)
    with pytest.raises(InputError, match="only vLLM runs on several GPUs, and not transformers"):
        check_parallel("transformers", asked, RUNTIME)
    with pytest.raises(InputError, match=r"tensor 2 x pipeline 1 x data 2 takes 4 GPUs.* has 0"):
        check_parallel("vllm", asked, RUNTIME)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(devices, "gpus", lambda: 3)
    monkeypatch.setattr(devices, "torch_has_cuda", lambda: True)
    with pytest.raises(InputError, match="takes 4 GPUs, and this machine has 3"):
        check_parallel("vllm", asked, RuntimeConfig())
    monkeypatch.setattr(devices, "gpus", lambda: 4)
    check_parallel("vllm", asked, RuntimeConfig())
    check_parallel("transformers", ALONE, RUNTIME)
