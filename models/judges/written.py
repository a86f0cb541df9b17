"""Verdicts that a local language model writes, through the engines that sample answers."""

from collections.abc import Callable, Sequence
from pathlib import Path

from data.recipes.recipe import RuntimeConfig
from models.chat import load_tokenizer, render_prompt
from models.checkpoints import context_length
from models.engines import open_engine
from models.engines.base import Sampling
from models.judges.endpoint import LONGER, Reply, seed_of

OnProgress = Callable[[int, int], None]
_UNLIMITED = 2**15  # tokens, of a model whose files set no limit


def write(
    model_dir: Path,
    questions: Sequence[list[dict[str, str]]],
    *,
    max_tokens: int,
    temperature: float,
    runtime: RuntimeConfig,
    engine: str,
    on_progress: OnProgress | None = None,
) -> list[Reply]:
    """A reply to each question, in order; one that was cut off is written again with more tokens.

    A question that leaves no room for `max_tokens` in the model's context is "too_long".

    Raises:
        InputError: the engine is not installed, or the model cannot write.
    """
    tokenizer = load_tokenizer(model_dir, runtime.trust_remote_code)
    limit = context_length(model_dir, "judge") or _UNLIMITED
    prompts = [render_prompt(tokenizer, question) for question in questions]
    done: dict[int, Reply] = {}
    waiting = [n for n, prompt in enumerate(prompts) if len(prompt) + max_tokens <= limit]
    if not waiting:
        return [Reply("", "too_long", 0, 0, 0) for _ in prompts]
    longest = max(len(prompts[n]) for n in waiting) + LONGER * max_tokens
    served = open_engine(engine, model_dir, runtime, min(limit, longest), 0)
    try:
        for tokens in (max_tokens, LONGER * max_tokens):
            waiting = [n for n in waiting if len(prompts[n]) + tokens <= limit]
            outputs = served.generate(
                [prompts[n] for n in waiting],
                [seed_of(questions[n]) for n in waiting],
                Sampling(1, temperature, 1.0, tokens),
                on_progress,
            )
            for n, (output,) in zip(waiting, outputs, strict=True):
                before = done.get(n, Reply("", "length", 0, 0, 0))
                done[n] = Reply(
                    output.text,
                    output.finish_reason,
                    before.calls + 1,
                    before.prompt_tokens + len(prompts[n]),
                    before.completion_tokens + output.n_tokens,
                )
            waiting = [n for n in waiting if done[n].ended == "length"]
            if not waiting:
                break
    finally:
        served.close()
    return [done.get(n, Reply("", "too_long", 0, 0, 0)) for n in range(len(prompts))]
