"""What a run of a recipe would find in the store and what it would compute: a walk ahead.

The flow's own functions are called with a `Run` whose stages compute nothing: a stage that is in
the store gives its artifact, any other a stand-in. So a plan cannot differ from the flow. Where a
stage's inputs are stand-ins its key is not known yet, and neither is whether it will be found.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from data.errors import TsAlignError
from data.recipes.names import references
from data.recipes.recipe import DecodingConfig, RunRecipe
from data.store.artifacts import Artifact
from data.store.digests import digest_of
from tasks.running.bounds import among, artifacts, best_case, most_rows
from tasks.running.call import Asked
from tasks.running.definition import Definition
from tasks.running.keys import key_value
from tasks.running.measuring import MODELS
from tasks.running.outside import External
from tasks.running.progress import Progress
from tasks.running.shards import Cut
from tasks.stage import Context, Run

State = Literal["found", "again", "compute", "later"]
STATES: tuple[State, ...] = get_args(State)


@dataclass(frozen=True)
class Step:
    """A stage call of the run.

    found: in the store. again: made earlier in the same run. compute: not there. later: its inputs
    are not there yet, and something of its kind is, so nobody knows. The counts are of what is left
    to do, at most.
    """

    section: str
    title: str
    stage: str
    state: State
    shards_found: int = 0
    shards: int = 0
    sampled: int = 0  # completions
    tokens: int = 0  # sampled at most
    reads: int = 0  # texts read by a reward model, a teacher or a judge; two models read each twice
    calls: int = 0  # questions to a language model that judges, two for each pair
    reader: str = ""
    pairs: int = 0  # that a training goes through in each epoch
    answers: int = 0  # the same of a training on single answers
    makes: str = ""  # "policy", "student", "teacher": a model is written
    rows: int = 0


@dataclass
class Plan:
    steps: list[Step] = field(default_factory=list)
    ends: str | None = None  # why it is known no further than this
    fails: bool = False  # the run will end there with an error

    def sections(self) -> dict[str, list[Step]]:
        """Steps by section, in the order of the run."""
        found: dict[str, list[Step]] = {}
        for step in self.steps:
            found.setdefault(step.section, []).append(step)
        return found


class _Sections(Progress):
    """Hears of the flow which part of the run comes, and shows nothing."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.title = "Preparing"

    def section(self, title: str) -> None:
        self.title = title

    def note(self, text: str) -> None:
        pass


class Walked(NamedTuple):
    """A call that the walk has come to, for who foresees what it takes."""

    step: Step
    stage: Definition
    inputs: dict[str, Any]
    gives: Artifact  # or what stands for it
    share: float  # of its work that is left
    context: Context


class Foresight:
    """Hears of every call of a walk, and says how many rows come of one that has not run.

    This one says: as many as may be.
    """

    def rows(self, stage: Definition, inputs: dict[str, Any], most: int, context: Context) -> int:
        """Rows of a table, of which there are at most so many."""
        return most

    def take(self, walked: Walked) -> None:
        """A call has been answered."""


class _Walk:
    """Answers the stages of a run in place of their bodies."""

    def __init__(
        self,
        run: Run,
        sections: _Sections,
        plan: Plan,
        known: Mapping[str, int],
        foresight: Foresight,
    ) -> None:
        self._run, self._sections, self._plan, self._known = run, sections, plan, known
        self._foresight = foresight
        self._stand_ins: set[str] = set()  # digests
        self._vague: set[str] = set()  # of those, tables whose rows nobody knows
        self._made: dict[str, str] = {}  # kinds of models, by digest
        self._seen: set[str] = set()  # digests of the calls so far

    def __call__(self, asked: Asked) -> Artifact:
        stage, inputs = asked.stage, asked.inputs
        later = among(list(inputs.values()), lambda one: one.digest in self._stand_ins)
        key = None if later else stage.key(self._run.context, inputs)
        found = self._run.context.store.find(stage.kind, key) if key else None
        artifact = found or self._stand_in(stage, inputs)
        if found and stage.kind == "completions" and "prompts" in inputs:
            meta = found.meta | {"prompts": inputs["prompts"].rows or 0}
            artifact = found.model_copy(update={"meta": meta})
        if stage.kind in MODELS:
            self._made[artifact.digest] = made = _made(asked)
            if made == "teacher" and self._is_model(inputs.get("policy")):
                self._made[inputs["policy"].digest] = made  # what it was before it was aligned
        state: State = "found" if found else "compute"
        if later and self._has(stage.kind):
            state = "later"
        whole, there = self._shards(stage, key, inputs) if key and not found else (0, 0)
        share = 1 - there / whole if whole else 1.0
        rows = 0 if artifact.digest in self._vague else artifact.rows or 0
        known = (rows, 0.0 if found else share)
        step, share = self._note(asked, state, (there, whole), known)
        context = self._run.context
        self._foresight.take(Walked(step, stage, inputs, artifact, share, context))
        return artifact

    def _has(self, kind: str) -> bool:
        """Whether the store holds anything of this kind, as far as this machine can tell."""
        store = self._run.context.store
        return not store.is_local or (store.root / kind).is_dir()

    def _note(
        self, asked: Asked, state: State, shards: tuple[int, int], known: tuple[int, float]
    ) -> tuple[Step, float]:
        """Record the step; with it the share that is left.

        The same work is counted once, as the store keeps it after the first.
        """
        stage, inputs = asked.stage, asked.inputs
        work = digest_of([stage.name, stage.version, _names(list(inputs.items()))])
        rows, share = known
        if work in self._seen and state != "found":
            state, share = "again", 0.0
        costs = self._costs(asked, ceil(rows * share)) if share else {}
        step = Step(
            section=self._sections.title,
            title=asked.title,
            stage=stage.name,
            state=state,
            shards_found=shards[0],
            shards=shards[1],
            rows=ceil(rows * share),
            **costs,
        )
        self._seen.add(work)
        self._plan.steps.append(step)
        return step, share

    def _costs(self, asked: Asked, left: int) -> dict[str, Any]:
        """What a step that is not found takes at most, by what it makes; `left` of it is to do."""
        stage, inputs = asked.stage, asked.inputs
        if stage.kind in MODELS:
            return {"makes": _made(asked)} | self._training(stage, inputs)
        values = list(inputs.values())
        if stage.kind == "verdicts":
            return {"calls": 2 * left, "reader": self._whose(inputs["judge"])}
        if not stage.model:
            return {}
        if stage.kind == "divergence":
            return self._distance(inputs)
        if stage.kind == "completions":
            longest = [one.max_tokens for one in values if isinstance(one, DecodingConfig)]
            return {"sampled": left, "tokens": left * max(longest, default=0)}
        judges = [one for one in values if isinstance(one, External) or self._is_model(one)]
        ordered = any(table.kind == "mined" for table in artifacts(values))  # pairs of two texts
        if judges and (stage.kind in ("scores", "targets") or ordered):
            return {"reads": left * (2 if ordered else 1), "reader": self._whose(judges[0])}
        return {}

    def _distance(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """What is read for a policy's distance to its teachers: every answer, by both."""
        answers = [one for one in artifacts(list(inputs.values())) if one.kind == "completions"]
        rows = sum(one.rows or 0 for one in answers if not self._is_vague(one))
        teachers = inputs.get("teachers") or [inputs["teacher"]]
        return {"reads": 2 * rows, "reader": self._whose(teachers[0])}

    def _training(self, stage: Definition, inputs: dict[str, Any]) -> dict[str, Any]:
        """How much a model that is written learns from."""
        if stage.rows is None:
            return {}
        named = inputs[stage.rows] if isinstance(stage.rows, str) else list(inputs.values())
        learned = [one for one in artifacts(named) if one.kind not in MODELS]
        each = "pairs" if all(one.kind == "preferences" for one in learned) else "answers"
        if isinstance(stage.rows, str):
            rows = sum(one.rows or 0 for one in learned if one.digest not in self._vague)
        else:
            rows = most_rows(stage, inputs, self._known, self._is_vague) or 0
        return {each: rows}

    def _is_model(self, value: Any) -> bool:
        return isinstance(value, Artifact) and value.kind in MODELS

    def _whose(self, model: Artifact | External) -> str:
        if isinstance(model, External):
            return model.field.removesuffix(".model")
        return self._made.get(model.digest, "policy")

    def _shards(
        self, stage: Definition, key: dict[str, Any], inputs: dict[str, Any]
    ) -> tuple[int, int]:
        """How many shards the stage has, and how many of them a run that ended has left."""
        if stage.shards is None:
            return 0, 0
        context = self._run.context
        cut = Cut(context.store, inputs[stage.shards], context.runtime.shard_prompts)
        if len(cut) < 2:
            return 0, 0
        keys = [key | {"shard": cut.name(number)} for number in range(len(cut))]
        return len(keys), sum(context.store.find(stage.kind, one) is not None for one in keys)

    def _is_vague(self, table: Artifact) -> bool:
        return table.digest in self._vague

    def _stand_in(self, stage: Definition, inputs: dict[str, Any]) -> Artifact:
        """An artifact of the best case.

        Where nobody knows its rows it has as many as the largest table it is made of, so that the
        flow goes on; they are counted as no work.
        """
        name = digest_of(["plan", stage.name, _names(list(inputs.items()))])
        self._stand_ins.add(name)
        rows = most = None
        if stage.schema is not None:
            most = rows = most_rows(stage, inputs, self._known, self._is_vague)
            if most is not None:
                rows = self._foresight.rows(stage, inputs, most, self._run.context)
            else:
                self._vague.add(name)
                most = max([1, *(one.rows or 0 for one in artifacts(list(inputs.values())))])
                rows = most
        # Not validated, which would make plain counts of those of the best case.
        return Artifact.model_construct(
            kind=stage.kind,
            key=name,
            digest=name,
            rows=rows,
            meta=best_case(stage, inputs, most or 0, rows or 0),
        )


def _made(asked: Asked) -> str:
    """What a model that a call writes is in its run: an aligned teacher is a policy by its kind."""
    return "teacher" if asked.role == "teacher" else asked.stage.kind


def _names(value: Any) -> Any:
    """Arguments as JSON, by which equal calls are known: stand-ins too have digests."""
    if isinstance(value, list | tuple):
        return [_names(item) for item in value]
    return key_value(value)


def planned(
    recipe: RunRecipe,
    store: str,
    folder: Path,
    known: Mapping[str, int],
    foresight: Foresight | None = None,
) -> Plan:
    """The stages of a run of this recipe, from the first to the last.

    Writes nothing and computes nothing; of a store elsewhere what is found is fetched, as the run
    would.

    Args:
        recipe: Fitted, and accepted by preflight.
        known: Rows of the files that the recipe names, by field.
        foresight: Hears of every call.

    Raises:
        InputError: a model or a file cannot be read.
    """
    from flows.align import open_run
    from flows.table import flow_of
    from tasks.running.books import Books

    sections, plan = _Sections(), Plan()
    run = open_run(recipe, store, folder, sections, None, Books(kept=False))
    run.ahead = _Walk(run, sections, plan, known, foresight or Foresight())
    try:
        with run.active():
            flow_of(recipe)(run, recipe)
    except TsAlignError as error:  # a round that is done already has no pair left
        plan.ends, plan.fails = str(error), True
    except Exception as error:
        own = [one.field for one in references(recipe) if one.kind == "code"]
        if not own:
            raise
        # A user's own labeller may read tables that are not there yet.
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:120]
        what = "what follows is known once the stages before it are there"
        plan.ends = f"{own[0]}: {what} ({reason})"
    finally:
        run.context.loaded.close()
    return plan
