"""What a run has measured and what its flow says of it: part of `summary.json`."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

Interval = tuple[float, float]
Kind = Literal["good", "bad", "unclear"]


class Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Reference(Entry):
    """An artifact in the store."""

    kind: str
    key: str
    artifact: str  # digest of its content


class Value(Entry):
    """A number with its uncertainty."""

    value: float
    ci95: Interval | None = None
    n: int | None = None  # what it was taken over: prompts, pairs


class RoundValue(Value):
    """A measure after a round; round 0 is what the run began with."""

    round: int
    kept: bool = True  # whether the run went on with what was measured
    evidence: Reference | None = None  # rows it is the mean of: prompt_id, dataset, outcome
    parts: dict[str, Value] = {}  # by data set


class Measure(Value):
    """A number that stands for a run or a part of it, and how to read it."""

    title: str = ""  # in words; by default its name
    short: str = ""  # for the head of a column; by default the title
    about: str = ""  # a sentence: what it counts, for a reader who wonders
    # "share" is written in percent, "points" (of percent) with a sign, "count" as a whole number
    unit: str = ""
    better: Literal["higher", "lower"] | None = None
    even: float | None = None  # its value where nothing has changed
    judge: str = ""  # who judged
    group: str = ""  # what it is of: "policy", "student", "pairs", "cost"
    adds_up: bool = False  # whether a run's value is the sum of its rounds'
    round: int | None = None  # the round that gave it
    kept: bool = True  # False: of a model that was refused
    rounds: list[RoundValue] = []
    parts: dict[str, Value] = {}  # by data set

    @property
    def means(self) -> Kind:
        """Whether the whole interval lies on one side of no change."""
        if self.even is None or self.ci95 is None or self.better is None:
            return "unclear"
        low, high = self.ci95
        if low > self.even:
            return "good" if self.better == "higher" else "bad"
        if high < self.even:
            return "bad" if self.better == "higher" else "good"
        return "unclear"


class Verdict(Entry):
    """What the headline means, in the words of the flow. What is empty is made from the measure."""

    kind: Kind = "unclear"
    title: str = ""  # a few words
    label: str = ""  # what the number is
    text: str = ""  # sentences
    line: str = ""  # the result in one line of a terminal
    short: str = ""  # the same for a table of runs
    meaning: list[str] = []  # what the line means, a sentence each


class Fact(Entry):
    """A number or a name, and what it is: a tile at the top of the report."""

    title: str
    value: str
    text: str


class Warned(Entry):
    """What a rule found, and in which section of the report more is said."""

    section: str
    rule: str
    found: str  # in which rounds
    reason: str  # why that matters, or what to do
    rounds: list[int] = []  # the rounds it was found in

    @property
    def text(self) -> str:
        return f"{self.found} {self.reason}".strip()
