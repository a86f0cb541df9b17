"""What a flow returns. Report, status, Prefect's UI, trackers and bench draw what is in it.

A flow may hand in an unfinished one as often as it likes: what is there so far.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from data.measures import Fact, Measure, Verdict, Warned
from data.sections import Section, Table
from data.summary import Final, PromptSource, Round, Summary

if TYPE_CHECKING:
    from tasks.stage import Model


@dataclass(frozen=True)
class Result:
    """Measures, the one that stands for the run, and what the flow says of them.

    Only `headline` and `measures` are needed: what a flow leaves out is made from these.
    """

    headline: str  # a name in `measures`; it may be missing there as long as it is not known
    measures: Mapping[str, Measure]
    sections: Sequence[Section] = ()
    models: "Mapping[str, Model]" = field(default_factory=dict)  # linked into the run's folder
    files: Mapping[str, Path] = field(default_factory=dict)  # linked too, under their names
    losses: Mapping[str, float] = field(default_factory=dict)  # of the last round's trainings
    method: str = ""  # what ran, in a few words
    verdict: Verdict = field(default_factory=Verdict)
    facts: Sequence[Fact] = ()
    warnings: Sequence[Warned] = ()
    checked: str = ""
    progress: Table | None = None
    stopped: str | None = None
    # Of flows that go in rounds from prompts to preferences: fields of their own in the summary.
    rounds: Sequence[Round] = ()
    base: Mapping[str, float] = field(default_factory=dict)
    sources: Sequence[PromptSource] = ()
    final: Final | None = None

    def with_models(self, models: "Mapping[str, Model]", losses: Mapping[str, float]) -> "Result":
        """The same of a run that has left these models, by the names of their links."""
        return replace(self, models=models, losses=losses)

    def into(self, summary: Summary) -> None:
        """Put all but models and files, which are linked, into a summary."""
        summary.headline, summary.measures = self.headline, dict(self.measures)
        summary.sections, summary.facts = list(self.sections), list(self.facts)
        summary.method, summary.verdict = self.method, self.verdict
        summary.warnings, summary.checked = list(self.warnings), self.checked
        summary.progress, summary.stopped = self.progress, self.stopped
        summary.rounds, summary.base = list(self.rounds), dict(self.base)
        summary.final, summary.sources = self.final, list(self.sources)


# What a flow returns, and hands in before its end with `run.so_far`. Whoever only plans a run does
# not call it: there is nothing measured then.
Made = Callable[[], Result]
