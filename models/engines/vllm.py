"""vLLM in a child process of its own, started once per run and handed new weights each round.

A child, because vLLM changes its process for good: it starts torch.distributed, which trainers
would take for a distributed job, replaces torch functions on a CPU, and holds GPU memory.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from data.recipes.recipe import ALONE, ParallelConfig, RuntimeConfig
from models.adapted import modules_of
from models.chat import load_tokenizer, stop_ids
from models.checkpoints import embedding_rows, weight_shapes
from models.engine_python import interpreter, vllm_version
from models.engines.base import (
    OnProgress,
    Output,
    Sampling,
    Served,
    canary_logprobs,
    check_handover,
    check_lengths,
    check_parity,
    hand_over,
    make_output,
    sample_seeds,
)
from models.engines.side_by_side import parallel_arguments
from models.engines.transformers import TransformersEngine
from models.hardware import device_of, dtype_of
from models.interpreters import variables
from models.isolation import Child
from models.next_tokens import words_of
from models.templates import stop_marks
from models.vllm_server import Lora, VllmServer

_ENVIRONMENT = {
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "PYTHONWARNINGS": "ignore",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
    "TOKENIZERS_PARALLELISM": "false",
    # Threads that spin while they wait make two busy processes on one CPU ten times slower.
    "OMP_WAIT_POLICY": "PASSIVE",
}
_NEVER = -100.0  # the lowest bias of a logit that vLLM takes
_KV_CACHE_BYTES = 1 << 30  # on a CPU, unless VLLM_CPU_KVCACHE_SPACE says otherwise


class VllmEngine:
    """Generation by vLLM: float32 on a CPU, with CUDA graphs and sleep mode on a GPU."""

    name = "vllm"

    def __init__(
        self,
        model_dir: Path,
        runtime: RuntimeConfig,
        max_model_len: int,
        seed: int,
        parallel: ParallelConfig = ALONE,
        gpus: Sequence[str] = (),
        adapters: int = 0,
    ) -> None:
        """`gpus`: those of this engine, where others have others; `adapters`: the rank of those
        that it has room for."""
        self._arguments = parallel_arguments(parallel) | _adapter_arguments(adapters, model_dir)
        self._lora: Lora | None = None
        self._adapters: tuple[Path, ...] = ()
        self._joined: TemporaryDirectory | None = None
        self._number = 0
        self._gpus = tuple(gpus)
        self.version = vllm_version(runtime)
        self._runtime = runtime
        self._max_model_len = max_model_len
        self._seed = seed
        self._tokenizer = load_tokenizer(model_dir, runtime.trust_remote_code)
        self._marks = stop_marks(self._tokenizer)
        # Embeddings may be padded beyond the tokens that a text can have.
        rows = embedding_rows(weight_shapes(model_dir, "policy")) or 0
        self._padding = dict.fromkeys(range(words_of(self._tokenizer), rows), _NEVER)
        self._sleeping = False
        self._child: Child | None = None
        self._served: Served
        self._start(Path(model_dir))

    def load(self, model_dir: Path) -> None:
        self._lora, self._adapters = None, ()
        if self._child is None or not self._child.alive:
            self._start(Path(model_dir))
            return
        self._served = hand_over(self, self._tokenizer, self._read, self._served, Path(model_dir))
        self._check(self._served)

    def adapt(self, folders: Sequence[Path], merged: Path) -> None:
        if self._adapters == tuple(folders):
            return
        self._lora = self._as_one(folders) if folders else None
        self._adapters = tuple(folders)
        canary = canary_logprobs(self, self._tokenizer)
        if folders:
            check_handover(self._served.canary, canary)
            self._check(Served(merged, canary))

    def _as_one(self, folders: Sequence[Path]) -> Lora:
        """The adapters as one, under a name that no other has had: by it vLLM knows what it has."""
        from models.training.adapters import join_adapters

        self._number += 1
        name, folder = f"policy-{self._number}", folders[0]
        if len(folders) > 1:
            self._joined = self._joined or TemporaryDirectory(prefix="tsalign-adapters-")
            folder = Path(self._joined.name) / name
            join_adapters(list(folders), folder)
        return name, self._number, str(folder.resolve())

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        seeds: Sequence[int],
        sampling: Sampling,
        on_progress: OnProgress | None = None,
    ) -> list[list[Output]]:
        check_lengths([len(prompt) for prompt in prompts], self._max_model_len - 1)
        settings = {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
            "stop_token_ids": self._stop,
            "detokenize": bool(self._marks),
        }
        if self._padding:
            settings["logit_bias"] = self._padding
        if self._marks:
            settings |= {"stop": list(self._marks), "include_stop_str_in_output": True}
        requests = [
            (list(prompt), sample_seed)
            for prompt, seed in zip(prompts, seeds, strict=True)
            for sample_seed in sample_seeds(seed, sampling.k)
        ]

        def report(done: int, total: int) -> None:
            if on_progress:
                on_progress(done // sampling.k, total // sampling.k)

        answers = self._awake().call("generate", requests, settings, self._lora, on_progress=report)
        outputs = [make_output(self._tokenizer, ids, self._stop, self._marks) for ids in answers]
        return [outputs[i : i + sampling.k] for i in range(0, len(outputs), sampling.k)]

    def logprobs(
        self, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]]
    ) -> list[list[float]]:
        pairs = list(zip(prompts, completions, strict=True))
        check_lengths([len(prompt) for prompt, _ in pairs], self._max_model_len - 1)
        check_lengths([len(p) + len(c) for p, c in pairs], self._max_model_len - 1, "sequence")
        sequences = [[*prompt, *tail] for prompt, tail in pairs]
        rows = self._awake().call("logprobs", sequences, self._lora)
        return [row[len(prompt) :] for row, (prompt, _) in zip(rows, pairs, strict=True)]

    def sleep(self) -> None:
        """Free the GPU's memory; on a CPU there is nothing to win."""
        on_gpu = device_of(self._runtime).type == "cuda"
        if on_gpu and not self._sleeping and self._child is not None and self._child.alive:
            self._child.call("sleep")
            self._sleeping = True

    def close(self) -> None:
        if self._joined is not None:
            self._joined.cleanup()
            self._joined = None
        if self._child is not None:
            self._child.close()
            self._child = None

    def _awake(self) -> Child:
        """The child with the current weights; a new one if it died, so that a retry can help."""
        if self._child is None or not self._child.alive:
            self._start(self._served.model_dir)
        elif self._sleeping:
            self._read(self._served.model_dir)
        assert self._child is not None
        return self._child

    def _read(self, model_dir: Path) -> None:
        assert self._child is not None
        self._child.call("load", str(model_dir))
        self._sleeping = False
        self._stop = stop_ids(self._tokenizer, model_dir)

    def _start(self, model_dir: Path) -> None:
        self._child = start_vllm(
            model_dir,
            self._runtime,
            self._max_model_len,
            seed=self._seed,
            skip_tokenizer_init=not self._marks,
            enable_sleep_mode=device_of(self._runtime).type == "cuda",
            gpus=self._gpus,
            **self._arguments,
        )
        self._sleeping = False
        self._stop = stop_ids(self._tokenizer, model_dir)
        adapter, self._lora = self._lora, None
        try:
            self._served = Served(model_dir, canary_logprobs(self, self._tokenizer))
            self._check(self._served)
        except BaseException:
            self.close()
            raise
        self._lora = adapter  # of one that has died

    def _check(self, served: Served) -> None:
        """On a CPU, where it costs little: vLLM answers as transformers does, whole and current."""
        if device_of(self._runtime).type == "cpu" and dtype_of(self._runtime) == torch.float32:
            other = TransformersEngine(served.model_dir, self._runtime, self._max_model_len)
            check_parity(canary_logprobs(other, self._tokenizer), served.canary)


def start_vllm(
    model_dir: Path,
    runtime: RuntimeConfig,
    max_model_len: int,
    gpus: Sequence[str] = (),
    server: type[VllmServer] = VllmServer,
    **arguments: Any,
) -> Child:
    """A child process with a VllmServer in it, or that `server`, under `runtime.engine_python`; it
    sees `gpus` alone, where some are named.

    Raises:
        UnservableError: vLLM cannot run this model.
        InputError: there is no memory for it.
    """
    on_gpu = device_of(runtime).type == "cuda"
    arguments = {
        "model": str(model_dir),
        "load_format": "safetensors",
        "dtype": str(dtype_of(runtime)).removeprefix("torch."),
        "max_model_len": max_model_len,
        "trust_remote_code": runtime.trust_remote_code,
        "skip_tokenizer_init": True,
        "disable_log_stats": True,
        "use_tqdm_on_load": False,
        **(_gpu_arguments(runtime) if on_gpu else _cpu_arguments(max_model_len)),
        **arguments,
    }
    environment = {k: v for k, v in _ENVIRONMENT.items() if k not in os.environ}
    environment["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # it is in a child already
    if gpus:
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    python = interpreter(runtime)
    return Child(server, arguments, environment=environment, python=python)


def _adapter_arguments(rank: int, model_dir: Path) -> dict[str, Any]:
    """Room for one adapter in a batch, and for a round's others in the host's memory."""
    if not rank:
        return {}
    room = {"max_lora_rank": rank, "max_loras": 1, "max_cpu_loras": 4}
    return room | {"enable_lora": True, "lora_target_modules": modules_of(model_dir)}


def _gpu_arguments(runtime: RuntimeConfig) -> dict[str, Any]:
    return {"gpu_memory_utilization": runtime.gpu_memory}


def _cpu_arguments(max_model_len: int) -> dict[str, Any]:
    return {
        "enforce_eager": True,  # compiling takes a minute and gains nothing for a small model
        "kv_cache_memory_bytes": _KV_CACHE_BYTES,
        "block_size": 32,  # the default of 128 leaves short prompts out of the prefix cache
        "max_num_seqs": 256,
        "max_num_batched_tokens": max(8192, max_model_len),
        # vLLM 0.32 on a CPU cannot rewind a request's random generator after part of a prompt:
        # "CPU Generator does not use offset".
        "enable_chunked_prefill": False,
    }


def server_command(
    model_dir: Path, runtime: RuntimeConfig, max_model_len: int, name: str, port: int
) -> tuple[list[str], dict[str, str]]:
    """The command of vLLM's OpenAI-compatible server on loopback, and its environment.

    `name` is what requests call the model; `max_model_len` is the longest prompt with its answer,
    in tokens.
    """
    on_gpu = device_of(runtime).type == "cuda"
    options: dict[str, Any] = {
        "model": str(model_dir),
        "served_model_name": name,
        "host": "127.0.0.1",
        "port": port,
        "load_format": "safetensors",
        "dtype": str(dtype_of(runtime)).removeprefix("torch."),
        "max_model_len": max_model_len,
        "trust_remote_code": runtime.trust_remote_code,
        **(_gpu_arguments(runtime) if on_gpu else _cpu_arguments(max_model_len)),
    }
    python = interpreter(runtime)
    command = [str(python or sys.executable), "-m", "vllm.entrypoints.openai.api_server"]
    for option, value in options.items():
        flag = option.replace("_", "-")
        if isinstance(value, bool):
            command += [f"--{flag}" if value else f"--no-{flag}"]
        else:
            command += [f"--{flag}", str(value)]
    # What lies in the folder a user works in is none of vLLM's.
    own = _ENVIRONMENT | {"VLLM_LOGGING_LEVEL": "INFO", "PYTHONSAFEPATH": "1"}
    environment = {k: v for k, v in own.items() if k not in os.environ}
    if python:  # and our packages are none of its
        environment |= {"PATH": variables(python)["PATH"], "PYTHONPATH": "", "PYTHONHOME": ""}
    return command, environment
