"""What the three trainings share: TRL's trainers with our batches, checks and nothing else.

TRL computes the losses; here is how it is fed. A step always sees `batch_size` rows. They are cut
into parts of `runtime.train_micro_batch` rows, each part weighted by its share of what the loss
averages over (rows, or tokens), so the gradient of a step does not depend on the cut. That is not
so for the Trainer's own gradient accumulation, which weights a short last part like a full one.
Nor does it depend on how many processes share the parts (models.training.launch): their gradients
add up to that of the batch.

Given a folder for them, a training writes checkpoints and goes on from the last
(models.training.resume).
"""

import math
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from operator import mul
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers import (
    GenerationConfig,
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.utils import GENERATION_CONFIG_NAME
from trl.trainer import utils as trl_utils

from data.errors import InputError, TrainingError
from data.recipes.recipe import RuntimeConfig, Schedule
from models.batching import LengthGroups, Row
from models.hardware import device_of, dtype_of
from models.training.resume import Checkpoints, binding, load_weights, save_weights
from models.training.tracked import reported
from models.training.trackers import Tracking

OnProgress = Callable[[int, int], None]

_HISTORY = 50  # points of the loss history that are kept
# Metrics whose history is kept too. Of a training on pairs: implicit rewards, shares clipped. Of
# one on a teacher's targets: the policy's probability of the tokens that were kept, and of ADPA the
# advantage that the policy may expect.
_CURVES = (
    "rewards/chosen", "rewards/rejected", "clipped/chosen", "clipped/rejected", "kept_mass",
    "advantage",
)  # fmt: skip


@contextmanager
def compact_head() -> Iterator[None]:
    """Let TRL's fused output layer score completion positions only, on a CPU as on a GPU.

    TRL scores every position where it has no Triton, for compilers that want fixed shapes. The
    values are the same; with prompts longer than completions a step is a fifth slower.
    """
    original = trl_utils._use_triton
    trl_utils._use_triton = lambda device: True
    try:
        yield
    finally:
        trl_utils._use_triton = original


def planned_steps(n_rows: int, config: Schedule) -> int:
    """Optimizer steps of a training: the last batch of an epoch may be short, none is left out."""
    return config.epochs * math.ceil(n_rows / config.batch_size)


def log_every(n_rows: int, config: Schedule) -> int:
    """Steps between two entries of the history; an entry costs as much as a tiny model's step."""
    return max(1, planned_steps(n_rows, config) // 200)


def arguments(
    out: Path, n_rows: int, config: Schedule, runtime: RuntimeConfig, seed: int
) -> dict[str, Any]:
    """The arguments all of TRL's trainers take: quiet, seeded, nothing written but the model."""
    on_cuda = device_of(runtime).type == "cuda"
    dtype = dtype_of(runtime)
    planned = planned_steps(n_rows, config)
    return {
        "output_dir": str(out),
        "num_train_epochs": config.epochs,
        "per_device_train_batch_size": config.batch_size,
        "gradient_accumulation_steps": 1,
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": config.scheduler,
        # The first step of a warm-up has rate 0: a single step must not be one.
        "warmup_steps": min(math.ceil(planned * config.warmup_ratio), planned - 1),
        "seed": seed,
        "data_seed": seed,
        "use_cpu": not on_cuda,
        "ddp_backend": None if on_cuda or runtime.train.here else "gloo",
        "bf16": dtype == torch.bfloat16,
        "fp16": on_cuda and dtype == torch.float16,
        # Memory is short on an accelerator, time on a CPU.
        "gradient_checkpointing": on_cuda,
        "dataloader_pin_memory": on_cuda,
        "remove_unused_columns": False,
        "max_length": None,  # rows that are too long were dropped and counted before
        "save_strategy": "no",
        "report_to": "none",  # models.training.tracked makes and guards the callbacks
        "disable_tqdm": True,
        "logging_steps": log_every(n_rows, config),
        "logging_nan_inf_filter": False,
        "log_level": "error",
    }


class PartsTrainer(Trainer):
    """Mixin, before a trainer of TRL: steps made of `Parts`, our order of rows, no telemetry."""

    sampler: LengthGroups
    _metrics: dict[str, dict[str, list[float]]]  # TRL's, since the last entry of the log

    def part_loss(
        self, model: PreTrainedModel, part: Any, row_share: float, token_share: float
    ) -> torch.Tensor:
        """Loss of a part, already weighted by its share of the batch. Overridden for tokens."""
        loss: torch.Tensor = self.compute_loss(model, part)
        return loss * row_share

    def training_step(
        self, model: PreTrainedModel, inputs: Any, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Gradient of one batch, accumulated over its parts; the batch's loss, a scalar."""
        model.train()
        total = torch.zeros((), device=self.args.device)
        left, processes = len(inputs["parts"]), self.accelerator.num_processes
        begun = {name: len(values) for name, values in self._metrics["train"].items()}
        for part, row_share, token_share in zip(
            inputs["parts"], inputs["row_shares"], inputs["token_shares"], strict=True
        ):
            left -= 1
            with self._adding_up(model, last=not left):
                with self.compute_loss_context_manager():
                    part = self._prepare_inputs(part)
                    loss = self.part_loss(model, part, row_share, token_share)
                loss = loss * processes  # whose gradients are averaged
                self.accelerator.backward(loss)
            total += loss.detach()
        self._measured(begun, [share * processes for share in inputs["row_shares"]])
        if not torch.isfinite(total):  # before the optimizer spoils the weights
            raise non_finite("loss", self.state.global_step + 1)
        return total

    def _measured(self, begun: dict[str, int], shares: list[float]) -> None:
        """Of TRL's metrics of parts, make those of the batch: means over its rows."""
        for name, values in self._metrics["train"].items():
            of_parts = values[begun.get(name, 0) :]
            if len(of_parts) == len(shares) > 1:
                mean = sum(map(mul, of_parts, shares))
                values[-len(of_parts) :] = [mean]

    @contextmanager
    def _adding_up(self, model: torch.nn.Module, last: bool) -> Iterator[None]:
        """Processes add up their gradients once a batch, at its last part."""
        self.accelerator.gradient_state._set_sync_gradients(last)  # heeded by DeepSpeed
        # FSDP would have to keep all gradients whole until then.
        waits = not (last or self.is_fsdp_enabled)
        with self.accelerator.no_sync(model) if waits else nullcontext():
            yield

    def get_train_dataloader(self) -> DataLoader:
        """Gives every process the whole batch, of which `Parts` takes its share.

        accelerate would give each process other batches, and fill up the last with earlier rows.
        """
        parts: Any = self.data_collator
        parts.rank = self.accelerator.process_index
        parts.processes = self.accelerator.num_processes
        loader: DataLoader = super().get_train_dataloader()
        if parts.processes > 1:
            shard: Any = loader.batch_sampler
            shard.num_processes, shard.process_index, shard.even_batches = 1, 0, False
            shard.sampler = self.sampler  # is found here, and told of every epoch
        return loader

    def _get_train_sampler(self, train_dataset: Any = None) -> LengthGroups:
        return self.sampler

    def floating_point_ops(self, inputs: Any) -> int:
        """Not counted: walking over all parameters costs a small model 2 % of a step."""
        return 0

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """Only ever called for a checkpoint: artifacts are saved by `save_model`."""
        save_weights(self.model, Path(output_dir or self.args.output_dir))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        load_weights(self.model, Path(resume_from_checkpoint))

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """None beside a checkpoint: it is scratch."""

    def _send_telemetry(self) -> None:
        """TRL reports model type and device to its makers; a training here calls no one."""


class Watch(TrainerCallback):
    """Counts steps, reports progress, and stops a training whose gradient is not finite."""

    def __init__(self, on_progress: OnProgress | None) -> None:
        self.on_progress, self.steps = on_progress, 0

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        self.steps += 1

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        if not logs or "loss" not in logs:  # the summary at the end
            return
        # float16's loss scaling overflows on purpose until it has found its scale.
        if not args.fp16 and not math.isfinite(logs.get("grad_norm", 0.0)):
            raise non_finite("gradient", state.global_step)
        if self.on_progress:
            self.on_progress(state.global_step, state.max_steps)


def non_finite(what: str, step: int) -> TrainingError:
    return TrainingError(
        f"the {what} is not finite at step {step}; lower learning_rate, raise warmup_ratio, "
        "or use runtime.dtype float32"
    )


def run(
    trainer: PartsTrainer,
    rows: list[Row],
    config: Schedule,
    runtime: RuntimeConfig,
    on_progress: OnProgress | None,
    checkpoints: Path | None,
    tracking: Tracking | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """Train to the end: steps, loss history and the means of TRL's own metrics over the last epoch.

    With `tracking`, the log is drawn in its trackers, which changes nothing else. Goes on from the
    last checkpoint in the folder `checkpoints`, if there is one of this training;
    `settings` are what makes it this training besides rows, weights and `config`.

    Raises TrainingError for a loss or gradient that is not finite and for missing steps.
    """
    planned = planned_steps(len(rows), config)
    watch, resumed = Watch(on_progress), None
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(watch)
    if checkpoints:
        trainer.args.output_dir = str(checkpoints)
        settings |= config.model_dump(mode="json", exclude=set(config.not_in_key))
        bound_to = binding(rows, trainer.model, settings | {"seed": trainer.args.seed})
        saving = Checkpoints(checkpoints, runtime.checkpoint_minutes, bound_to)
        trainer.add_callback(saving)
        resumed = saving.latest(planned)
    with compact_head(), reported(trainer, tracking):
        trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
    done, first = trainer.state.global_step, planned - watch.steps
    if done != planned or not watch.steps or (first > 0) != (resumed is not None):
        raise TrainingError(
            f"training did {watch.steps} steps and ended at {done} of {planned}; "
            "run the stage again"
        )
    entries = max(1, planned // config.epochs // log_every(len(rows), config))
    logs = [log for log in trainer.state.log_history if "loss" in log]
    return {
        "steps": planned,
        "rows": len(rows),
        "resumed_from_step": first,
        **_history(logs, entries),
    }


def check_finite(model: torch.nn.Module, steps: int) -> None:
    """TrainingError for a weight that is not finite after so many steps."""
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            raise non_finite(f"weight {name}", steps)


def _history(logs: list[dict[str, float]], per_epoch: int) -> dict[str, Any]:
    """At most 50 means of consecutive losses; the other metrics as means over the last epoch.

    `history`, of metrics in _CURVES: means of the same entries, beside the `step` of their last.
    """
    width = math.ceil(len(logs) / _HISTORY)
    points = [logs[i : i + width] for i in range(0, len(logs), width)]
    last = logs[-per_epoch:]
    skip = {"loss", "learning_rate", "epoch", "num_tokens", "step"}
    losses = _means(points, "loss")
    result = {
        "losses": losses,
        "first_loss": logs[0]["loss"],
        "final_loss": losses[-1],
        "metrics": {name: _means([last], name)[0] for name in last[0] if name not in skip},
    }
    curves = {name: _means(points, name) for name in _CURVES if name in logs[0]}
    if curves:
        result["history"] = {"step": [point[-1]["step"] for point in points], **curves}
    return result


def _means(points: list[list[dict[str, float]]], name: str) -> list[float]:
    return [sum(log[name] for log in point) / len(point) for point in points]


def remove_dropout(model: PreTrainedModel) -> None:
    """No dropout in the backbone. An adapter added afterwards keeps the one it was given."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0


@contextmanager
def input_errors(field: str) -> Iterator[None]:
    """What TRL and PEFT refuse when a trainer is made (scheduler, adapter targets) is input."""
    try:
        yield
    except ValueError as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"{field}: {reason}; correct the setting this names") from error


def require_rows(rows: list[Row], too_long: int, field: str) -> None:
    """InputError where nothing is left to train on, with what really took it."""
    if not rows and too_long:
        raise InputError(
            f"{field}: no row is left to train on, all {too_long} are too long; raise it, or "
            "shorten prompts or answers"
        )
    if not rows:
        raise InputError(
            "there is no pair to train on: no two answers of a prompt were told apart; give "
            "rewards that differ, or lower mine.min_margin and teacher.min_margin"
        )


def save_model(
    model: PreTrainedModel,
    tokenizer: Any,
    out: Path,
    dtype: torch.dtype,
    like: Path | None = None,
) -> None:
    """A plain Hugging Face directory. Equal weights give equal bytes, wherever it is saved.

    The generation_config.json of `like`, the model it was made from, is copied as it is: what
    transformers reads it does not always write again, such as a temperature beside do_sample false.
    """
    path = out / GENERATION_CONFIG_NAME
    if like is not None and model.can_generate():
        model.generation_config = GenerationConfig()
    model.to(dtype).save_pretrained(out)
    if like is not None:
        path.unlink(missing_ok=True)
        if (like / GENERATION_CONFIG_NAME).is_file():
            shutil.copyfile(like / GENERATION_CONFIG_NAME, path)
    tokenizer.save_pretrained(out)
