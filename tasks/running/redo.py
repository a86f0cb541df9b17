"""Compute a stage of a round again, and what follows from it, although all of it is there."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from data.errors import ArtifactError
from data.store.artifacts import Artifact
from data.store.store import Store


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


@dataclass
class Redo:
    """What an invocation makes again; an artifact made since `since` is not made a third time.

    What an earlier round has made stays, where the chosen round only finds it.
    """

    round: int
    stage: str  # the name of a stage, or the address of one of its calls
    since: str = field(default_factory=now)  # UTC, as in an artifact's record
    _keys: set[str] = field(default_factory=set)  # of what is made again
    _earlier: set[str] = field(default_factory=set)  # of what the rounds before have met

    def concerns(self, number: int, chosen: bool, key: str, inputs: dict[str, Any]) -> bool:
        """Whether a call is made again; remembers its key.

        Args:
            number: The round at work.
            chosen: The call is one of the chosen stage, in whatever round.
            key: Its key's digest.
            inputs: Its arguments; what is made again makes what reads it be made again.
        """
        if number < self.round:
            self._earlier.add(key)
            return False
        begins = chosen and number == self.round and key not in self._earlier
        if begins or any(artifact.key in self._keys for artifact in _artifacts(inputs)):
            self._keys.add(key)
            return True
        return False

    @property
    def begun(self) -> bool:
        return bool(self._keys)

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
