"""A round as one script of vLLM and TRL would do it: the teacher scores all K answers, then DPO.

    python -m benchmarks.plain_script WORK.json

WORK.json names policy, teacher, prompts and settings; `benchmarks.plain_round` writes it. It is
what tsalign is compared with, so it is written as such a script usually is: one process, the
libraries' defaults, batches of sixteen in the order of the data, nothing kept but the policy.
Evaluation: one answer per test prompt by both policies, compared by the teacher's rewards.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BATCH = 16
Messages = list[dict[str, str]]


class Clock:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        spent = time.perf_counter() - began
        self.seconds[stage] = self.seconds.get(stage, 0.0) + spent


def answers(work: dict[str, Any], model: str, asked: list[tuple[str, int]], clock: Clock) -> Any:
    """Texts of every prompt of each named list, `n` a prompt."""
    with clock("start of vLLM"):
        from vllm import LLM, SamplingParams

        # On a CPU vLLM 0.32 ends with an error where a seeded request's prompt is read in parts.
        whole = {"enable_chunked_prefill": False, "max_num_batched_tokens": 8192}
        llm = LLM(
            model=model,
            max_model_len=work["max_model_len"],
            seed=work["seed"],
            **(whole if work["cpu"] else {}),
        )
    found = []
    for name, n in asked:
        sampling = SamplingParams(
            n=n, temperature=work["temperature"], max_tokens=work["max_tokens"], seed=work["seed"]
        )
        with clock("generation" if n > 1 else "evaluation"):
            outputs = llm.chat(work[name], sampling, use_tqdm=False)
        found.append([[one.text for one in output.outputs] for output in outputs])
    return found


def rewards(work: dict[str, Any], conversations: list[tuple[Messages, str]]) -> list[float]:
    """The teacher's mean log-likelihood of every answer, or its score if it is a classifier."""
    import torch
    from transformers import (
        AutoConfig,
        AutoModelForCausalLM,
        AutoModelForSequenceClassification,
        AutoTokenizer,
    )

    tokenizer = AutoTokenizer.from_pretrained(work["teacher"], padding_side="right")
    config = AutoConfig.from_pretrained(work["teacher"])
    is_classifier = any("SequenceClassification" in name for name in config.architectures)
    kind = AutoModelForSequenceClassification if is_classifier else AutoModelForCausalLM
    model = kind.from_pretrained(work["teacher"], dtype=torch.float32).eval()
    said = []
    for start in range(0, len(conversations), BATCH):
        batch = conversations[start : start + BATCH]
        texts = [
            tokenizer.apply_chat_template(
                [*messages, {"role": "assistant", "content": text}], tokenize=False
            )
            for messages, text in batch
        ]
        encoded = tokenizer(texts, padding=True, return_tensors="pt", add_special_tokens=False)
        with torch.no_grad():
            logits = model(**encoded).logits
        if is_classifier:
            said += logits[:, 0].tolist()
            continue
        prompts = [
            tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            for messages, _ in batch
        ]
        starts = [len(ids) for ids in tokenizer(prompts, add_special_tokens=False)["input_ids"]]
        logps = logits[:, :-1].log_softmax(-1)
        logps = logps.gather(-1, encoded["input_ids"][:, 1:, None])[..., 0]
        for row, begin in enumerate(starts):
            length = int(encoded["attention_mask"][row].sum())
            said.append(logps[row, begin - 1 : length - 1].mean().item())
    return said


def pairs(work: dict[str, Any], texts: list[list[str]], said: list[float]) -> list[dict[str, Any]]:
    """The best and the worst answer of every prompt."""
    rows, k = [], len(texts[0])
    for number, (messages, own) in enumerate(zip(work["prompts"], texts, strict=True)):
        scores = said[number * k : (number + 1) * k]
        best, worst = (own[scores.index(pick(scores))] for pick in (max, min))
        if best != worst:
            sides = {"chosen": best, "rejected": worst}
            spoken = {n: [{"role": "assistant", "content": text}] for n, text in sides.items()}
            rows.append({"prompt": messages} | spoken)
    return rows


def train(work: dict[str, Any], rows: list[dict[str, Any]], out: str) -> None:
    """DPO with the SFT term, as TRL offers it."""
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    lora = None
    if work["lora"]:
        from peft import LoraConfig

        rank, alpha = work["lora"]
        lora = LoraConfig(
            r=rank, lora_alpha=alpha, target_modules="all-linear", task_type="CAUSAL_LM"
        )
    trainer = DPOTrainer(
        model=work["policy"],
        args=DPOConfig(
            output_dir=f"{out}-trainer",
            per_device_train_batch_size=work["batch_size"],
            num_train_epochs=work["epochs"],
            learning_rate=work["learning_rate"],
            beta=work["beta"],
            loss_type=["sigmoid", "sft"],
            loss_weights=[1.0, work["sft_weight"]],
            max_length=work["max_length"],
            model_init_kwargs={"dtype": "float32"},
            save_strategy="no",
            report_to="none",
            seed=work["seed"],
            use_cpu=work["cpu"],
            bf16=False,
            gradient_checkpointing=False,
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(work["policy"]),
        peft_config=lora,
    )
    trainer.train()
    model = trainer.model.merge_and_unload() if lora else trainer.model
    model.save_pretrained(out)
    trainer.processing_class.save_pretrained(out)


def main() -> None:
    began = time.perf_counter()
    work = json.loads(Path(sys.argv[1]).read_text())
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    out, clock = work["out"], Clock()
    asked = [("prompts", work["k"]), ("test", 1)]
    sampled, base = answers(work, work["policy"], asked, clock)
    with clock("scoring"):
        said = rewards(
            work,
            [
                (messages, text)
                for messages, texts in zip(work["prompts"], sampled, strict=True)
                for text in texts
            ],
        )
    rows = pairs(work, sampled, said)
    with clock("training"):
        train(work, rows, out)
    (aligned,) = answers(work, out, [("test", 1)], clock)
    with clock("evaluation"):
        both = [
            rewards(work, [(m, t[0]) for m, t in zip(work["test"], texts, strict=True)])
            for texts in (base, aligned)
        ]
    wins = [(new > old) + (new == old) / 2 for old, new in zip(*both, strict=True)]
    found = {"pairs": len(rows), "win_rate": sum(wins) / len(wins)}
    found |= {"seconds": time.perf_counter() - began, "stages": clock.seconds}
    Path(work["result"]).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
