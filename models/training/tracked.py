"""The log of a training in the trackers, through the callbacks that transformers has for them.

They are what `report_to` would add. They are not named there: the Trainer would then make them
unguarded, and a tracker that cannot be reached would end the training.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from transformers import (
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.integrations import INTEGRATION_TO_CALLBACK, TrackioCallback

from models.training.trackers import Curve, Tracking, opener, watched


@contextmanager
def reported(trainer: Trainer, tracking: Tracking | None) -> Iterator[None]:
    """Meanwhile every log entry of the trainer is drawn; afterwards the curves are closed."""
    callbacks = [_Guarded(tracking, name) for name in tracking.working()] if tracking else []
    for callback in callbacks:
        trainer.add_callback(callback)
    try:
        yield
    finally:
        for callback in callbacks:
            callback.close()


class _OpenTrackio(TrackioCallback):
    """Draws into the run that is open already; its parent would begin another, of no group."""

    def setup(self, args: Any, state: Any, model: Any, **kwargs: Any) -> None:
        self._initialized = True


class _Guarded(TrainerCallback):
    """A tracker's callback that opens its curve, draws a step once, and fails in silence.

    The end of the training is not passed on: the curve is closed here, and at the end the callbacks
    may upload the model, which is not this project's to give away.
    """

    def __init__(self, tracking: Tracking, tracker: str) -> None:
        self._tracking, self._tracker = tracking, tracker
        self._curve: Curve | None = None
        self._opened: Any = None
        self._callback: Any = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        with watched(self._tracking, self._tracker):
            self._curve = self._tracking.curve(self._tracker)
            args.run_name = self._curve.name
            self._opened = opener(self._tracker)(self._curve)
            self._callback = self._made()
            self._callback.on_train_begin(args, state, control, **kwargs)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if self._curve is None or not logs or self._tracker not in self._tracking.working():
            return
        with watched(self._tracking, self._tracker):
            point = f"{state.global_step}{'' if 'loss' in logs else ' summary'}"
            if self._curve.is_new(point):
                self._callback.on_log(args, state, control, logs=dict(logs), **kwargs)
                self._curve.drawn(point)

    def close(self) -> None:
        if self._opened is not None:
            with watched(self._tracking, self._tracker):
                self._opened.close()

    def _made(self) -> TrainerCallback:
        if self._tracker == "tensorboard":
            kind: Any = INTEGRATION_TO_CALLBACK[self._tracker]
            made: TrainerCallback = kind(tb_writer=self._opened.writer)
        elif self._tracker == "trackio":
            made = _OpenTrackio()
        else:
            made = INTEGRATION_TO_CALLBACK[self._tracker]()
        return made
