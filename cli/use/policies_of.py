"""The policies that a run has left: where their weights are, and whether they may be used.

Found through the run's summary and the keys in the store. Loads neither torch nor Prefect.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from data.errors import ArtifactError, InputError
from data.recipes.recipe import RunRecipe, RuntimeConfig
from data.store.artifacts import Artifact, load_record
from data.store.digests import tree_digest
from data.store.inventory import run_folder
from data.store.store import Store
from data.summary import StageRecord, Summary, read_summary
from data.tables import mapping
from models.devices import has_cuda
from models.engine_python import environment
from reports.text import of_headline

BASE = 0  # the "round" of the policy that a run began with


@dataclass(frozen=True)
class Policy:
    """A policy of a run, its files as they were written."""

    summary: Summary
    round: int  # BASE: the one that the run began with
    path: Path
    digest: str
    artifact: Artifact | None = None  # None: the user's own folder
    adopted: bool = True

    @property
    def run(self) -> str:
        return self.summary.run

    @property
    def name(self) -> str:
        """As in "base" and "round 2"."""
        return f"round {self.round}" if self.round else "base"


class Training(NamedTuple):
    """A call of a stage that gave a policy."""

    round: int
    record: StageRecord
    adopted: bool


def summary_of(runs_dir: Path, run: str) -> Summary:
    """The summary of a run by its name. Raises InputError."""
    return read_summary(run_folder(runs_dir, run) / "summary.json")


def runtime_here(recipe: RunRecipe) -> RuntimeConfig:
    """The recipe's `runtime`, for a machine that may have no GPU, and no such other environment."""
    runtime = recipe.runtime
    changes: dict[str, Any] = {}
    if runtime.device == "cuda" and not has_cuda():
        changes["device"] = "auto"
    try:
        environment(runtime)
    except InputError:
        changes["engine_python"] = None
    return runtime.model_copy(update=changes)


def policy_of(store: Store, summary: Summary, number: int | None = None) -> Policy:
    """The policy of a round, 0 being the base; by default the last one that was adopted.

    Raises:
        InputError: there is none, or its weights are not kept.
    """
    run = summary.run
    tuned = trainings(summary)
    if not tuned and summary.finished:
        given = " and ".join(summary.links) or "nothing"
        raise InputError(f"{run}: it trained no policy; what it gave is {given}")
    if not tuned:
        raise InputError(f"{run}: no policy has been trained yet; run its recipe first")
    if number is None:
        adopted = [entry.round for entry in tuned if entry.adopted]
        if not adopted:
            last = tuned[-1]
            raise InputError(
                f"{run}: no round's policy was adopted, the base stays; round {last.round}'s "
                f"weights are {_kept(store, last)}"
            )
        number = adopted[-1]
    if number == BASE:
        return _base(store, summary, tuned[0])
    rounds = [entry.round for entry in summary.rounds] or [one.round for one in tuned]
    if number not in rounds:
        known = ", ".join(map(str, rounds))
        raise InputError(f"{run}: has no round {number}; its rounds are {known}, 0 is the base")
    found = next((one for one in tuned if one.round == number), None)
    if found is None:
        raise InputError(f"{run}: round {number} ended before a policy was trained")
    return _of_round(store, summary, found)


def pair_of(
    store: Store, runs_dir: Path, run: str, rounds: str | None, against: str | None
) -> tuple[Policy, Policy]:
    """Two policies to look at side by side: by default the base and the result of a run.

    Args:
        rounds: "2" for the base and round 2, "1,3" for two rounds of the run.
        against: "RUN2" or "RUN2@round", whose policy takes the base's place.

    Raises:
        InputError: one of them does not exist, or its weights are not kept.
    """
    numbers = _numbers(rounds)
    summary = summary_of(runs_dir, run)
    if against is None:
        named: list[int | None] = list(numbers) if numbers else [None]
        first, second = named if len(named) == 2 else [BASE, *named]
        if first == second:
            raise InputError(f"--rounds: {rounds} names one policy twice; name two")
        return policy_of(store, summary, first), policy_of(store, summary, second)
    if len(numbers) > 1:
        raise InputError("--rounds: name one round of RUN beside --against")
    other, found, number = against.partition("@")
    if found and not number.isdecimal():
        raise InputError(f"--against: '{against}' is not RUN or RUN@ROUND")
    first_policy = policy_of(store, summary_of(runs_dir, other), int(number) if found else None)
    second_policy = policy_of(store, summary, numbers[0] if numbers else None)
    if (first_policy.run, first_policy.round) == (second_policy.run, second_policy.round):
        raise InputError(f"--against: '{against}' is the same policy; name another run or round")
    return first_policy, second_policy


def names_of(policies: Sequence[Policy]) -> list[str]:
    """What to call policies side by side: with their runs where these differ."""
    if len({policy.run for policy in policies}) == 1:
        return [policy.name for policy in policies]
    return [f"{policy.run}, {policy.name}" for policy in policies]


def notes_on(policies: Sequence[Policy]) -> list[str]:
    """What a user should know of these policies."""
    return [
        f"{policy.run}, round {policy.round}: this policy was not adopted; its weights are kept"
        for policy in policies
        if not policy.adopted
    ]


def held_out(store: Store, summary: Summary) -> list[dict[str, Any]]:
    """prompt_id, dataset and messages of the prompts that the run was evaluated on, in order.

    Empty where they are not in the store any more.
    """
    with suppress(ArtifactError):
        for record in reversed(summary.stages()):
            if record.kind == "evaluation":
                return _with_messages(store, summary, store.table(_artifact(record)))
    return []


def start_of(store: Store, entry: Training) -> str:
    """Digest of the policy that a training started from. Raises InputError."""
    artifact = _artifact(entry.record)
    try:
        key = load_record(store.place(artifact), artifact.kind, artifact.key).key
    except ArtifactError as error:
        raise InputError(
            f"round {entry.round}'s policy is not in the store {store.url} ({error}); name the "
            "run's store with --store, or run its recipe again"
        ) from error
    return str(key["policy"])


def tables_of(store: Store, summary: Summary) -> list[tuple[str, int | None, str]]:
    """Title, rows and digest of every table of prompts and preferences of a run, in order.

    Rows are None for what is not in the store any more.
    """
    found = []
    for title, number, stages in summary.parts():
        where = f"{title}: " if number else ""
        for record in stages:
            if record.kind in ("prompts", "preferences"):
                artifact, rows = _artifact(record), None
                with suppress(ArtifactError):
                    kept = load_record(store.place(artifact), artifact.kind, artifact.key)
                    rows = kept.artifact.rows
                found.append((where + record.stage, rows, record.artifact))
    return found


def _with_messages(store: Store, summary: Summary, evaluation: Any) -> list[dict[str, Any]]:
    rows = evaluation.select(["prompt_id", "dataset"]).to_pylist()
    wanted = {row["prompt_id"] for row in rows}
    for record in summary.stages():
        if record.kind == "prompts":
            messages = mapping(store.table(_artifact(record)), "prompt_id", "messages")
            if wanted <= messages.keys():
                return [row | {"messages": messages[row["prompt_id"]]} for row in rows]
    return []


_MEAN = "average"  # a stage that gives the moving average of policies


def trainings(summary: Summary) -> list[Training]:
    """The training of the policy in every round that has one, in order."""
    ended = {entry.round for entry in summary.rounds if entry.stopped}
    adopted = {entry.round: entry.adopted for entry in summary.rounds}
    if not summary.rounds and (headline := of_headline(summary)):
        adopted = {one.round: one.kept for one in headline.rounds}
    found = {
        number: Training(number, record, adopted.get(number, True))
        for _, number, records in summary.parts()
        for record in records
        if record.kind == "policy" and record.stage != _MEAN and number and number not in ended
    }
    if not found:  # a flow that counts no rounds: what its link leads to
        left = summary.links.get("policy")
        made = [one for one in summary.stages() if one.kind == "policy" and one.artifact == left]
        found = {1: Training(1, made[-1], True)} if made else {}
    return list(found.values())


def _artifact(record: StageRecord) -> Artifact:
    return Artifact(kind=record.kind, key=record.key, digest=record.artifact)


def _kept(store: Store, entry: Training) -> str:
    try:
        store.record(_artifact(entry.record))
    except ArtifactError:
        return "not kept in the store any more"
    return f"kept, name it by its number ({entry.round})"


def _of_round(store: Store, summary: Summary, entry: Training) -> Policy:
    artifact = _artifact(entry.record)
    try:
        path = store.path(artifact)
    except ArtifactError as error:
        refused = "" if entry.adopted else " was not adopted, and"
        raise InputError(
            f"{summary.run}: round {entry.round}'s policy{refused} is not in the store "
            f"{store.url} any more ({error}); name the run's store with --store, or run its "
            "recipe again"
        ) from error
    return Policy(summary, entry.round, path, artifact.digest, artifact, entry.adopted)


def _base(store: Store, summary: Summary, first: Training) -> Policy:
    """What the first training started from: an artifact, or the user's folder if unchanged."""
    from flows.preflight.folders import model_path

    try:
        digest = start_of(store, first)
    except InputError as error:
        raise InputError(f"{summary.run}: {error}") from error
    made = [r for r in summary.bootstrap if r.kind == "policy" and r.artifact == digest]
    if made:
        artifact = _artifact(made[-1])
        try:
            return Policy(summary, BASE, store.path(artifact), digest, artifact)
        except ArtifactError as error:
            raise InputError(
                f"{summary.run}: its base policy is not in the store {store.url} any more "
                f"({error}); run its recipe again"
            ) from error
    name = summary.config["policy"]["model"]
    try:
        path = model_path("policy.model", name).resolve()
    except InputError as error:
        raise InputError(f"{summary.run}: its base policy is gone: {error}") from error
    if tree_digest(path) != digest:
        raise InputError(
            f"{summary.run}: its base policy '{name}' has changed since the run; put the files "
            "back as they were, or run its recipe again"
        )
    return Policy(summary, BASE, path, digest)


def _numbers(rounds: str | None) -> list[int]:
    if rounds is None:
        return []
    parts = [part.strip() for part in rounds.split(",")]
    if len(parts) > 2 or not all(part.isdecimal() for part in parts):
        raise InputError(f"--rounds: '{rounds}' is not one or two rounds, as in 2 or 1,3")
    return [int(part) for part in parts]
