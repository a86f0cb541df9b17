"""What a run's folder holds besides its artifacts, and whether it is still what they gave.

Summary, report and links can all be made again from the store. Loads neither torch nor Prefect.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from data.errors import ArtifactError, InputError
from data.measures import Measure
from data.store.artifacts import Artifact
from data.store.digests import file_digest, tree_digest
from data.store.store import Store
from data.summary import Final, Gate, Round, Summary
from flows.earlier import whole
from flows.win_rates import policy_summary

_LINKS = ("policy", "student", "encoder", "router", "prototypes")
_MANY = "student-*"  # links of runs that leave several
_FILES = ("summary.json", "report.html", "error.log")
_MEASURES = ("evaluation", "gate", "drift", "mined", "agreement")  # kinds that figures are of
_OF_BASE = "drift:base"  # an address: a round's figures are of its own policy


def final_result(rounds: list[Round]) -> Final | None:
    """The result of a run: that of its last adopted policy."""
    for entry in reversed(rounds):
        if entry.adopted and entry.policy:
            return Final(
                round=entry.round,
                win_rate=entry.policy.win_rate,
                ci95=entry.policy.ci95,
                by_dataset=entry.policy.by_dataset,
                judge=entry.policy.judge,
                at_equal_length=entry.policy.at_equal_length,
                others=entry.policy.others,
            )
    return None


def check_room(folder: Path) -> None:
    """InputError for what stands where a run will write its results: nothing is written over that
    it cannot have made."""
    for path in (*(folder / name for name in _LINKS), *folder.glob(_MANY)):
        if os.path.lexists(path) and not path.is_symlink():
            raise InputError(
                f"{path}: stands in the place of a link that the run makes; move it away, or give "
                "the run another name with --run"
            )
    for name in _FILES:
        if (folder / name).is_dir():
            raise InputError(
                f"{folder / name}: is a folder in the place of a file that the run writes; move "
                "it away, or give the run another name with --run"
            )


def spoilt(folder: Path, summary: Summary) -> list[str]:
    """What in the folder of a finished run is not as its summary says: "file: what is wrong"."""
    found = []
    report = folder / "report.html"
    if not report.is_file():
        found.append("report.html: missing")
    elif file_digest(report, fresh=True) != summary.report:
        found.append("report.html: content has changed")
    if not summary.links:
        found.append("summary.json: names no result that a link leads to")
    for name, digest in summary.links.items():
        target = Path(os.path.realpath(folder / name))
        there = None
        with suppress(InputError):
            there = file_digest(target) if target.is_file() else tree_digest(target)
        if there != digest:
            found.append(f"{name}: does not lead to what the run has made")
    return found


def contradictions(store: Store, summary: Summary) -> list[str]:
    """Figures of a summary that its artifacts do not give: its checksum may be made anew too."""
    found = []
    for entry in summary.rounds:
        made: list[Artifact] = []
        figures: list[tuple[str, Any, Any]] = []
        measuring = [record for record in entry.stages if record.kind in _MEASURES]
        for record in measuring:
            artifact = Artifact(kind=record.kind, key=record.key, digest=record.artifact)
            with suppress(ArtifactError):  # damage has been found already
                made.append(store.record(artifact).artifact)
                if record.address != _OF_BASE:
                    figures += _figures(store, entry, artifact)
        if len(made) == len(measuring):
            figures += _own_figures(entry, made)
        figures += _win_rates(store, summary, entry, made)
        found += [
            f"summary.json: round {entry.round}: {field} is not {said}"
            for field, said, true in figures
            if _plain(said) != _plain(true)
        ]
    final = final_result(summary.rounds)
    if summary.finished and _plain(summary.final) != _plain(final):
        found.append("summary.json: final is not the result of the last adopted round")
    return [*found, *_measured(summary)]


def _measured(summary: Summary) -> list[str]:
    """Measures that are not what the rounds give; how they are worded may change."""
    if not (summary.rounds and summary.verdict):
        return []
    true = whole(summary.model_copy(update={"verdict": None})).measures
    return [
        f"summary.json: measures.{name} is not what the rounds give"
        for name, measure in summary.measures.items()
        if name in true and _numbers(measure) != _numbers(true[name])
    ]


def _numbers(measure: Measure) -> Any:
    curve = [(one.round, one.kept, _plain(one.value)) for one in measure.rounds]
    return measure.round, measure.kept, _plain(measure.value), curve


def _win_rates(
    store: Store, summary: Summary, entry: Round, artifacts: list[Artifact]
) -> Iterator[tuple[str, Any, Any]]:
    """(field, what the summary says, what the evaluations give), of what it says at all."""
    evaluations = [artifact for artifact in artifacts if artifact.kind == "evaluation"]
    said, evaluate = entry.policy, summary.config.get("evaluate", {})
    judges = evaluate.get("judge", "teacher")
    judges = [judges] if isinstance(judges, str) else judges
    if said is None or len(evaluations) != len(judges):  # damage has been found already
        return
    true = policy_summary(
        store,
        evaluations,
        samples=evaluate["bootstrap_samples"],
        seed=summary.seed,
        judges=judges,
    )
    yield "policy.win_rate", said.win_rate, true.win_rate
    fields = said.model_fields_set  # an earlier version has written fewer
    yield "policy", said.model_dump(include=fields), true.model_dump(include=fields)


def _figures(store: Store, entry: Round, artifact: Artifact) -> Iterator[tuple[str, Any, Any]]:
    """(field, what the summary says, what the artifact gives)."""
    if artifact.kind == "gate" and entry.gate:
        yield "gate", entry.gate, Gate(**store.record(artifact).artifact.meta)
    elif artifact.kind == "drift" and entry.drift:
        meta = store.record(artifact).artifact.meta
        known = {name: meta[name] for name in type(entry.drift).model_fields if name in meta}
        yield "drift", {name: getattr(entry.drift, name) for name in known}, known
    elif artifact.kind == "mined":
        meta = store.record(artifact).artifact.meta
        counts = {name: meta[name] for name in type(entry.ledger).model_fields if name in meta}
        yield "ledger", {name: getattr(entry.ledger, name) for name in counts}, counts


def _own_figures(entry: Round, artifacts: list[Artifact]) -> Iterator[tuple[str, Any, Any]]:
    """(field, what the summary says, what its other fields and the round's artifacts give)."""
    counts = entry.ledger
    yield "swap_rate", entry.swap_rate, counts.swap_rate
    measured = [a.meta["agreement"] for a in artifacts if a.kind == "agreement"]
    if entry.policy and measured:
        before, after = measured[0], measured[-1]
        kept = after if entry.student.adopted else before
        yield "student.agreement_before", entry.student.agreement_before, before
        yield "student.agreement_after", entry.student.agreement_after, kept


def _plain(value: Any) -> Any:
    """A value as JSON has it, to nine digits; intervals, drawn at random, are left out."""
    if hasattr(value, "model_dump"):
        value = value.model_dump(mode="json")
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items() if name != "ci95"}
    return round(value, 9) if isinstance(value, float) else value
