"""What every stage of a run will take, by what such stages have taken on this machine.

The walk of a plan, with the rows that are to be expected in place of those that may come at most:
stages keep the share of rows that they have kept before.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import Any

from data.rates import Known, Rate
from data.store.artifacts import Artifact
from flows.planning.plan import Foresight, State, Walked
from tasks.running.bounds import artifacts
from tasks.running.context import Context, Model
from tasks.running.definition import Definition
from tasks.running.measuring import MODELS, call_of, engine_call, shape_in, units_of
from tasks.running.outside import External

_SOME = 256  # prompts whose lengths are looked at


@dataclass(frozen=True)
class Foreseen:
    """A stage call and what it will take; None: nothing like it was measured.

    calls: texts sampled, read or compared by a model, or learned from in an epoch. tokens: sampled,
    or read in all, where lengths are known. memory: bytes at the peak, of all processes. disk:
    bytes that stay in the store. source: "run", "pilot", "like" (a call with other settings),
    "paper" or "" (nothing).
    """

    section: str
    title: str
    stage: str
    state: State
    calls: int = 0
    tokens: int = 0
    bodies: int = 0  # 1, or shards
    seconds: float | None = None
    starting: float = 0.0  # of these, in which the engine starts
    cores: float | None = None
    starting_cores: float = 0.0
    thin: bool = False  # known from about one size alone, and that is another
    level: bool = False  # known from others alone, of which the larger took no longer
    memory: int | None = None
    disk: int | None = None
    source: str = ""
    model: bool = False  # the stage uses one

    @property
    def is_work(self) -> bool:
        return self.bodies > 0


class Foreseeing(Foresight):
    """Collects what is to be expected of every call.

    Args:
        known: The measurements of this machine.
        workers: Of Ray, who share what may leave the run's process.
        prompt_tokens: Of a prompt, as a reader of the recipe has it: "policy", "teacher" ...
    """

    def __init__(
        self, known: Known, workers: int = 1, prompt_tokens: Mapping[str, int] | None = None
    ) -> None:
        self._known, self._workers = known, workers
        self._lengths = dict(prompt_tokens or {})
        self._shapes: dict[str, str] = {}  # of models that are not there yet, by digest
        self._prompts: dict[str, int] = {}  # of tables, by digest
        self._serving = ""  # shape of what the engine has loaded
        self._answer = 0.0  # tokens of one, by the last sampling
        self.steps: list[Foreseen] = []

    def rows(self, stage: Definition, inputs: dict[str, Any], most: int, context: Context) -> int:
        """The share that such calls have kept of the rows at most; all where nothing is known."""
        rate = self._rate(stage, inputs, context)
        return round(most * rate.kept) if rate else most

    def take(self, walked: Walked) -> None:
        step, stage, inputs = walked.step, walked.stage, walked.inputs
        rate = self._rate(stage, inputs, walked.context)
        self._remember(walked, rate)
        if rate and rate.tokens:
            self._answer = rate.tokens
        if not self._lengths and stage.kind == "completions":
            self._lengths = _lengths(walked)
        made: dict[str, Any] = {"section": step.section, "title": step.title, "stage": step.stage}
        made |= {"state": step.state, "model": bool(stage.model)}
        if not walked.share:
            self.steps.append(Foreseen(**made))
            return
        shards = self._shards(walked)
        bodies = max(1, ceil(shards * walked.share - 1e-9))
        calls = step.sampled + step.reads + step.calls + step.pairs + step.answers
        known: dict[str, Any] = {"calls": calls, "bodies": bodies}
        known["tokens"] = self._tokens(walked, rate)
        if rate:
            units = units_of(stage, inputs) or walked.gives.rows or 1
            known |= self._taken(rate, units, walked.share, shards, stage.moves)
            if starting := self._start(walked):
                known["starting"], known["starting_cores"] = starting
                known["seconds"] += starting[0]
                known["cores"] += starting[1]
        self.steps.append(Foreseen(**made, **known))

    def _taken(
        self, rate: Rate, units: float, share: float, shards: int, moves: bool
    ) -> dict[str, Any]:
        left, bodies = units * share, max(1, ceil(shards * share - 1e-9))
        together = min(self._workers, bodies) if moves else 1
        copies = 2 if shards > 1 else 1  # shards stay beside what they are joined to
        return {
            "seconds": rate.seconds.at(left, bodies) / together,
            "cores": rate.cores.at(left, bodies),
            "memory": round(rate.memory.at(units / shards)) if rate.memory else None,
            "disk": round(copies * rate.size.at(left, bodies)),
            "source": rate.source,
            "thin": rate.is_thin and rate.is_far(units / shards),
            "level": rate.is_level and rate.is_far(units / shards),
        }

    def _start(self, walked: Walked) -> tuple[float, float] | None:
        """What the engine's start takes, where this call is what starts it: seconds, and those of
        all cores."""
        stage, inputs = walked.stage, walked.inputs
        policy = inputs.get("policy")
        samples = stage.model == "loaded" and stage.kind in ("completions", "engine")
        if not samples or "engine" not in inputs or policy is None:
            return None
        shape = self._shape(policy, walked.context)
        if shape == self._serving:
            return None
        self._serving = shape
        call = engine_call(str(inputs["engine"]).split()[0], shape)
        rate = self._known.rate(call, call)
        return (rate.seconds.at(1), rate.cores.at(1)) if rate else None

    def _tokens(self, walked: Walked, rate: Rate | None) -> int:
        """Sampled, or read and learned from; 0 where lengths are not known."""
        step = walked.step
        if step.sampled:
            return round(step.sampled * (rate.tokens if rate else 0.0))
        if not self._lengths or not self._answer:
            return 0
        known = self._lengths.get(step.reader or step.makes)
        whole = (known or next(iter(self._lengths.values()))) + self._answer
        if step.reads:
            return round(step.reads * whole)
        if step.makes:
            sides = 2 if step.pairs else 1
            return round(sides * units_of(walked.stage, walked.inputs) * walked.share * whole)
        return 0

    def _rate(self, stage: Definition, inputs: dict[str, Any], context: Context) -> Rate | None:
        call = call_of(stage, inputs, context, partial(self._shape, context=context))
        return self._known.rate(*call)

    def _shape(self, model: Model, context: Context) -> str:
        if isinstance(model, External):
            return shape_in(context.path(model))
        if model.digest not in self._shapes:
            self._shapes[model.digest] = shape_in(context.path(model))
        return self._shapes[model.digest]

    def _remember(self, walked: Walked, rate: Rate | None) -> None:
        """The shape of a model that is not there yet, and how many prompts a table is of."""
        gives, inputs = walked.gives, list(walked.inputs.values())
        stands_in = walked.step.state != "found"
        if gives.kind in MODELS and stands_in and gives.digest not in self._shapes:
            models: list[Model] = [one for one in inputs if isinstance(one, External)]
            models += [one for one in artifacts(inputs) if one.kind in MODELS]
            made = rate.points[-1].shape if rate else ""
            trained = [self._shape(one, walked.context) for one in models]
            self._shapes[gives.digest] = made or next(filter(None, trained), "")
        if gives.kind == "prompts":
            self._prompts[gives.digest] = gives.rows or 0
        elif gives.digest not in self._prompts:
            of = [self._prompts.get(one.digest, 0) for one in artifacts(inputs)]
            self._prompts[gives.digest] = min(max(of, default=0), gives.rows or 0)

    def _shards(self, walked: Walked) -> int:
        """How many shards the call has in all; 1 where it has none."""
        if walked.stage.shards is None:
            return 1
        table: Artifact = walked.inputs[walked.stage.shards]
        prompts = self._prompts.get(table.digest, table.rows or 0)
        return max(1, ceil(prompts / walked.context.runtime.shard_prompts))


def _lengths(walked: Walked) -> dict[str, int]:
    """Tokens of a prompt as the policy reads it, where both are in the store: those of the embedded
    world, whose models have one tokenizer."""
    policy, prompts = walked.inputs.get("policy"), walked.inputs.get("prompts")
    there = [
        one for one in (policy, prompts) if isinstance(one, Artifact) and one.key != one.digest
    ]
    if len(there) < 2 or policy is None or prompts is None:
        return {}
    from models.chat import load_tokenizer, render_prompts
    from models.silence import quiet

    context = walked.context
    with quiet():
        tokenizer = load_tokenizer(context.path(policy), context.runtime.trust_remote_code)
        some = context.store.table(prompts)["messages"].slice(0, _SOME).to_pylist()
        lengths = sorted(map(len, render_prompts(tokenizer, some)))
    return {"policy": lengths[len(lengths) // 2]} if lengths else {}
