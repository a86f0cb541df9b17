"""Compute a stage of a round again, and what follows from it, although all of it is there."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from data.errors import ArtifactError
from data.store.artifacts import Artifact
from data.store.store import Store

StageName = Literal[
    "select", "generate", "score", "mine", "relabel", "distill", "reference", "optimize",
    "gate", "evaluate", "drift",
]  # fmt: skip


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


@dataclass
class Redo:
    """What an invocation makes again; an artifact made since `since` is not made a third time."""

    round: int
    stage: str  # its title, as the terminal and Prefect show it
    since: str = field(default_factory=now)  # UTC, as in an artifact's record
    _keys: set[str] = field(default_factory=set)  # of what is made again

    def concerns(self, round_number: int, title: str, key: str, inputs: dict[str, Any]) -> bool:
        """Whether a call is the chosen stage or reads what follows from it; remembers its key."""
        chosen = (round_number, title) == (self.round, self.stage)
        if chosen or any(artifact.key in self._keys for artifact in _artifacts(inputs)):
            self._keys.add(key)
            return True
        return False

    def kept(self, store: Store, found: Artifact) -> Artifact | None:
        """The artifact if it has been made again already; an older one is removed."""
        try:
            if store.record(found).created >= self.since:
                return found
            store.discard(store.path(found))
        except ArtifactError:  # damaged: it is made again anyway
            pass
        return None


def _artifacts(inputs: dict[str, Any]) -> list[Artifact]:
    values = [v for value in inputs.values() for v in (value if type(value) is list else [value])]
    return [value for value in values if isinstance(value, Artifact)]
