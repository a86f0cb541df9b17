"""`runs/NAME/summary.json`, schema 1: what a run did and what came of it. See docs/summary.md."""

import hashlib
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from data.errors import InputError
from data.files import check_regular
from data.ledger import Ledger
from data.measures import Entry, Fact, Interval, Measure, Verdict, Warned
from data.monitor import Watch
from data.recipes.spelling import current
from data.sections import Section, Table
from data.titles import address, means


class StageRecord(Entry):
    """One call of a stage. `seconds` is this invocation's, `computed_seconds` what it once took."""

    stage: str  # its title, as the terminal and Prefect show it
    name: str = ""  # the stage's
    role: str = ""  # which of the stage's calls in its round
    measures: bool = False  # it judges the method and is no part of it
    round: int = 0  # 0: before the first
    cached: bool
    seconds: float
    computed_seconds: float
    kind: str
    key: str
    artifact: str
    shards: int = 0  # that it was computed in by this invocation
    shards_reused: int = 0  # of these, found in the store
    resumed_from_step: int = 0  # of a training that continued an interrupted one
    saved_seconds: float = 0.0  # what was found had once taken
    counts: dict[str, int] = {}  # rows read, kept, duplicate, ...

    @property
    def address(self) -> str:
        """The same for this call in every round; of older summaries, its title."""
        return address(self.name or self.stage, self.role)

    def is_meant(self, wanted: str) -> bool:
        """Whether a stage's name, an address or a title means this call."""
        return means(wanted, self.name, self.role, self.stage)


def addresses(records: Iterable[StageRecord]) -> list[str]:
    """What commands may name: each stage, and its calls where it has several or one with a role."""
    found: dict[str, None] = {}
    for record in records:
        found |= {record.name or record.stage: None, record.address: None}
    return list(found)


class AxisSummary(Entry):
    """Pairs of the model matrix whose cells differ on one axis, and what a judge made of them.

    pairs = labelled + dropped = agreed + swapped + tied + inconsistent + unjudged.
    """

    pairs: int
    agreed: int
    swapped: int
    tied: int
    inconsistent: int
    unjudged: int  # too long for the judge, or there is none
    dropped: int
    labelled: int
    chosen_longer: float | None = None  # share of the labelled pairs
    length_ratio: float | None = None  # median, characters of chosen over rejected


class PickSummary(Entry):
    """How often the judge prefers a scorer's best answer to the prompt's others, 0 to 1."""

    picker: str
    agreement: float | None = None
    ci95: Interval | None = None
    pairs: int = 0
    prompts: int = 0
    equal_length: float | None = None  # of pairs that differ by no more than a tenth in length
    ci95_equal_length: Interval | None = None
    equal_length_pairs: int = 0
    beside: list["PickSummary"] = []  # other scorers on the same prompts


class StudentSummary(Entry):
    agreement_before: float | None = None
    agreement_after: float | None = None  # of the student the round ends with
    agreement_distilled: float | None = None  # of the new one, refused if it agrees less
    ci95_before: Interval | None = None
    ci95_after: Interval | None = None
    pairs: int = 0
    adopted: bool = True
    # Only for logged completions: how often the longer answer is the judge's choice, and the
    # student's agreement where the two answers differ by no more than a tenth in length.
    longer_baseline: float | None = None
    ci95_longer: Interval | None = None
    equal_length_before: float | None = None
    equal_length_after: float | None = None
    equal_length_longer: float | None = None
    ci95_equal_length_before: Interval | None = None
    ci95_equal_length_after: Interval | None = None
    equal_length_pairs: int | None = None
    picks: list[PickSummary] = []


class DatasetResult(Entry):
    win_rate: float
    ci95: Interval
    n: int
    base_score: float | None = None
    policy_score: float | None = None


class AtEqualLength(Entry):
    """The length-controlled win rate; see `data.length_controlled`."""

    win_rate: float
    ci95: Interval
    length_effect: float  # log-odds that the longest answers win by their length alone


class PolicySummary(Entry):
    """A policy's answers against the base's, by one judge, and what further judges say of them."""

    win_rate: float
    ci95: Interval
    wins: int
    ties: int
    losses: int
    judge: str  # as the recipe spells it
    by_dataset: dict[str, DatasetResult] = {}
    unjudged: int = 0  # of the ties: the judge could not read an answer, or gave no verdict
    at_equal_length: AtEqualLength | None = None
    same_order: dict[str, float] = {}  # share of the prompts, by each judge named before this one
    others: list["PolicySummary"] = []  # by the further judges, in the recipe's order


class Drift(Entry):
    kl_to_base: float
    mean_tokens: float
    distinct_2: float
    perplexity: float | None = None  # under the base; of earlier versions' runs not known
    student_reward: float | None = None  # without a student
    teacher_reward: float | None = None  # of a teacher that only compares
    judge_score: float | None = None  # of a judge that only compares


class Followed(Entry):
    """Shares of instructions, or of prompts with all of theirs, that base and policy follow."""

    base: float
    policy: float
    difference: float  # policy less base
    ci95: Interval  # of the difference, paired over prompts
    n: int  # instructions; per prompt: prompts
    prompts: int


class InstructionSummary(Entry):
    """How instructions were followed; see docs/instructions.md."""

    per_instruction: Followed  # the mean over data sets
    per_prompt: Followed
    by_dataset: dict[str, Followed]  # per instruction
    by_dataset_per_prompt: dict[str, Followed]
    by_kind: dict[str, Followed]
    left_out: int  # instructions without a checker, and those whose checker failed


class Gate(Entry):
    """The teacher's win rate of the new policy over the previous one, on dev prompts."""

    win_rate: float
    n: int
    adopted: bool


class FunctionRewards(Entry):
    """What one reward function of the teacher gave, before its weight."""

    judged: int  # of the answers that labels were made of
    without: int  # it does not apply to them
    failed: int
    mean: float | None = None  # of those it judged
    base_mean: float | None = None  # of the base's answers to the test prompts
    policy_mean: float | None = None  # of this round's policy's


class PromptSource(Entry):
    """What became of the prompts of a source of the pool before the first round.

    prompts = pool + held_out + exact + shared + repeated; see `data.readers.held_out`.
    """

    name: str
    prompts: int  # of the file, each once
    pool: int  # that rounds draw from
    held_out: int  # to judge, or with the text of one that is
    exact: int  # the same as a held-out one but for case and white space
    shared: int  # eight words in a row with a held-out one
    repeated: int  # an earlier source has them


class Round(Entry):
    round: int
    ledger: Ledger
    teacher_calls: int
    swap_rate: float
    label_precision: float | None = None
    label_precision_by_dataset: dict[str, float] = {}
    student: StudentSummary
    policy: PolicySummary | None = None
    drift: Drift | None = None
    matrix: dict[str, AxisSummary] = {}  # by axis
    gate: Gate | None = None
    functions: dict[str, FunctionRewards] = {}  # by name, where the teacher is reward functions
    instructions: InstructionSummary | None = None
    adopted: bool = True
    watch: Watch | None = None  # None: nobody watched
    tokens: int = 0
    stages: list[StageRecord] = []
    stopped: str | None = None  # why it ended before its trainings


class Final(Entry):
    """The last adopted policy."""

    round: int
    win_rate: float
    ci95: Interval
    by_dataset: dict[str, DatasetResult]
    judge: str
    at_equal_length: AtEqualLength | None = None
    others: list[PolicySummary] = []


class Summary(Entry):
    schema_version: int = 1
    run: str
    recipe: str
    seed: int
    config_digest: str
    run_digest: str
    versions: dict[str, str]
    machine: dict[str, str] = {}
    config: dict[str, Any] = {}
    seconds: float = 0.0
    computed_seconds: float = 0.0
    date: str | None = None  # what chat templates print, the day the run began unless it is set
    finished: str | None = None  # UTC, ISO 8601, of the invocation that wrote the report
    report: str | None = None  # digest of report.html
    links: dict[str, str] = {}  # digest of what each link in the run's folder leads to
    base: dict[str, float] = {}  # fields of Drift for the base policy, as far as they are known
    sources: list[PromptSource] = []  # of the training prompts; none in the embedded world
    bootstrap: list[StageRecord] = []
    rounds: list[Round] = []
    final: Final | None = None
    notes: list[str] = []  # of the inputs, that are no errors
    method: str = ""  # what ran, in a few words
    headline: str = ""  # the measure that stands for the run
    measures: dict[str, Measure] = {}
    verdict: Verdict | None = None  # None: an earlier version wrote this summary
    facts: list[Fact] = []
    warnings: list[Warned] = []
    checked: str = ""  # what the rules behind the warnings look at, where they found nothing
    progress: Table | None = None  # a line per round, for a terminal
    sections: list[Section] = []
    stopped: str | None = None  # why the run ended before its end
    work: list[StageRecord] = []  # stage calls of a flow without `rounds`

    def parts(self) -> list[tuple[str, int, list[StageRecord]]]:
        """Title, round (0: before the first) and stage calls of every part of the run."""
        by_round = {entry.round: list(entry.stages) for entry in self.rounds}
        for record in self.work:
            by_round.setdefault(record.round, []).append(record)
        first = "preparing" if by_round else "the run"
        rest = [(f"round {number}", number, records) for number, records in by_round.items()]
        return [(first, 0, self.bootstrap), *rest]

    def stages(self) -> list[StageRecord]:
        """Every stage call of the run, in order."""
        return [record for _, _, records in self.parts() for record in records]

    def all_cached(self, seconds: float) -> "Summary":
        """The summary of an invocation that found everything done."""
        copy = self.model_copy(deep=True)
        for record in copy.stages():
            record.cached, record.seconds = True, 0.0
            record.shards = record.shards_reused = record.resumed_from_step = 0
            record.saved_seconds = record.computed_seconds
        copy.seconds = seconds
        return copy


def write_text(path: Path, text: str) -> None:
    """Write atomically: whoever opens `path` sees the old or the new text, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        # A lone surrogate, which JSON can carry, must not cost a report.
        with temporary.open("w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder in the place of a file; move it away") from None
    finally:
        temporary.unlink(missing_ok=True)


def write_summary(path: Path, summary: Summary) -> None:
    """Write atomically, fields in the order of the models, `schema` first, a checksum last."""
    content = summary.model_dump(mode="json")
    content = {"schema": content.pop("schema_version"), **content}
    content["checksum"] = _checksum(content)
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def read_summary(path: Path, *, changed: bool = False) -> Summary:
    """The summary at `path`; with `changed`, also one that was changed after it was written.

    Raises:
        InputError: there is none, it is not of this schema, or its content has changed.
    """
    try:
        if os.path.exists(path):
            check_regular(path)
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{path}: no such run; `tsalign status` lists the runs") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except (ValueError, RecursionError):
        raise InputError(f"{path}: not JSON; delete it and run the recipe again") from None
    if not isinstance(content, dict) or content.get("schema") != 1:
        raise InputError(f"{path}: not a summary of schema 1; run the recipe again")
    checksum = content.pop("checksum", None)
    true = _checksum(content)
    content["schema_version"] = content.pop("schema")
    try:
        summary = Summary.model_validate(content)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise InputError(f"{path}: field '{where}' is not valid; run the recipe again") from error
    if not changed and checksum != true:
        raise InputError(
            f"{path}: content has changed since it was written, or an older version wrote it; "
            "`tsalign verify --repair` makes it again"
        )
    with suppress(ValueError):  # what cannot be told in today's spelling stays as it was
        summary.config = current(summary.config)
    return summary


def _checksum(content: dict[str, Any]) -> str:
    # Escaped text, unlike a key's: what JSON can carry must not cost a summary.
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
