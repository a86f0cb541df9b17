"""What runs in vLLM's process: an engine that is spoken to in plain lists.

It may be the process of another interpreter, in whose environment there is vLLM and little else.
So this module imports the standard library, `data.errors` and vLLM, and what it answers is made of
what Python has.
"""

from collections.abc import Callable
from typing import Any

from data.errors import InputError, UnservableError

OnProgress = Callable[[int, int], None]
Lora = tuple[str, int, str]  # of an adapter: a name and a number that no other has, and its folder

# How vLLM says that it cannot run a model: rarely in one of its own exceptions.
_REFUSALS = (
    *(ValueError, TypeError, RuntimeError, NotImplementedError),
    *(AttributeError, LookupError, AssertionError),
)
# What a start may fail of that says nothing about the model, in lower case.
_PASSING = (
    *("address already in use", "eaddrinuse", "socket", "timed out", "timeout", "cuda error"),
    *("nccl", "no space left", "too many open files", "temporarily unavailable"),
)


def refusal(error: Exception, model: str) -> Exception:
    """What to raise for a start that failed: the model's fault, the memory's, or of the moment."""
    reason = " ".join(str(error).split())[:300] or type(error).__name__
    if "memory" in reason.lower():
        return InputError(
            f"vLLM cannot start with '{model}': {reason}; free some, or lower runtime.gpu_memory"
        )
    if any(text in reason.lower() for text in _PASSING):
        return error
    return UnservableError("vLLM", model, reason)


class VllmServer:
    """One vLLM engine.

    It has answered before it is there: what vLLM cannot run shows only in the first step.
    """

    def __init__(self, arguments: dict[str, Any]) -> None:
        import logging

        logging.getLogger("torch._library.triton").setLevel(logging.ERROR)  # no Triton on a CPU
        from vllm import LLM
        from vllm.platforms import current_platform

        try:
            self._llm = LLM(**arguments)
            if arguments.get("runner") == "pooling":
                self.score([[0]], lambda done, total: None)
            else:
                self.logprobs([[0]])  # and one token more
        except _REFUSALS as error:
            raise refusal(error, arguments["model"]) from error
        self._on_gpu = not current_platform.is_cpu()
        self._asleep = False

    def generate(
        self,
        requests: list[tuple[list[int], int]],
        settings: dict[str, Any],
        lora: Lora | None,
        on_progress: OnProgress,
    ) -> list[list[int]]:
        """Token ids for each (prompt ids, seed); one request per sample."""
        from vllm import SamplingParams

        params = [SamplingParams(seed=seed, **settings) for _, seed in requests]
        finished = self._run([prompt for prompt, _ in requests], params, on_progress, lora)
        return [list(output.outputs[0].token_ids) for output in finished]

    def logprobs(self, sequences: list[list[int]], lora: Lora | None = None) -> list[list[float]]:
        """Log-probability of every token given those before it; NaN for the first."""
        from vllm import SamplingParams

        params = SamplingParams(max_tokens=1, temperature=0, prompt_logprobs=0, detokenize=False)
        finished = self._run(sequences, [params] * len(sequences), lora=lora)
        return [
            [
                float(entry[token].logprob) if entry else float("nan")
                for entry, token in zip(output.prompt_logprobs, sequence, strict=True)
            ]
            for output, sequence in zip(finished, sequences, strict=True)
        ]

    def score(self, sequences: list[list[int]], on_progress: OnProgress) -> list[float]:
        """The classification head's one raw output for each sequence."""
        from vllm import PoolingParams

        scores: list[float] = []
        for start in range(0, len(sequences), 2048):
            outputs = self._llm.encode(
                [{"prompt_token_ids": ids} for ids in sequences[start : start + 2048]],
                PoolingParams(use_activation=False),
                pooling_task="classify",
                use_tqdm=False,
            )
            scores += [float(output.outputs.data.item()) for output in outputs]
            on_progress(len(scores), len(sequences))
        return scores

    def load(self, model_dir: str) -> None:
        """Read other weights; on a GPU after sleep, memory for them first and the cache last."""
        if self._asleep:
            self._llm.wake_up(tags=["weights"])
        self._llm.collective_rpc("reload_weights", kwargs={"weights_path": model_dir})
        if not self._on_gpu:
            self._llm.apply_model(_pack_again)
        if self._asleep:
            self._llm.wake_up(tags=["kv_cache"])
            self._asleep = False
        if not self._llm.reset_prefix_cache():
            raise RuntimeError("vLLM did not drop the prefix cache of the old weights")

    def sleep(self) -> None:
        self._llm.sleep(level=2)
        self._asleep = True

    def _run(
        self,
        prompts: list[list[int]],
        params: list[Any],
        on_progress: OnProgress | None = None,
        lora: Lora | None = None,
    ) -> list[Any]:
        """Finished requests in the order of `prompts`."""
        engine = self._llm.llm_engine
        on_top: dict[str, Any] = {}
        if lora:
            from vllm.lora.request import LoRARequest

            on_top = {"lora_request": LoRARequest(*lora)}
        asked = [{"prompt_token_ids": p} for p in prompts]
        self._llm.enqueue(asked, params, use_tqdm=False, **on_top)
        finished: list[Any] = []
        while engine.has_unfinished_requests():
            finished += [output for output in engine.step() if output.finished]
            if on_progress:
                on_progress(len(finished), len(prompts))
        return sorted(finished, key=lambda output: int(output.request_id))


class PromptServer(VllmServer):
    """One that reads answers as a teacher."""

    def top_logprobs(
        self, sequences: list[list[int]], k: int, on_progress: OnProgress
    ) -> list[tuple[list[int], list[float]]]:
        """Ids and raw log-probabilities of every token but the first, one behind the other: 1 + k
        of each, its own and the most likely in its place; `max_logprobs` is at least k."""
        from vllm import SamplingParams

        asked: dict[str, Any] = {"prompt_logprobs": k, "flat_logprobs": True, "detokenize": False}
        params = SamplingParams(max_tokens=1, temperature=0, **asked)
        finished = self._run(sequences, [params] * len(sequences), on_progress)
        flat = [output.prompt_logprobs for output in finished]
        return [(one.token_ids, one.logprobs) for one in flat]


def _pack_again(model: Any) -> None:
    """Renew the copies of kept weight matrices that vLLM packs for a CPU.

    vLLM 0.32 packs a layer when its weights are loaded. An output layer tied to the embeddings
    loads none, so after a reload it would go on with the old embeddings.
    """
    for layer in model.modules():
        if hasattr(layer, "cpu_linear") and layer.weight.numel():
            layer.quant_method.process_weights_after_loading(layer)
