"""Progress of a run: one screen on a terminal, plain lines anywhere else.

Both have a heading for every round and, when it ends, a line of what came of it. In between a
terminal shows the stage at work with its shard, its rate and the time left, renewed in place; a
pipe gets a line when a stage begins and one every half minute. Stages that are found in the store
are counted, not listed, unless everything is asked for.
"""

from dataclasses import dataclass, field
from time import monotonic
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from data.durations import duration
from models.training.trackers import Tracking
from tasks.running.waiting import SILENCE, SPINNER, Ticker, enough, say, to_stderr

_SHORT = 1.0  # seconds: a stage below that gets no second line
_TOO_SOON = 3.0  # seconds after which a rate is worth something


@dataclass
class _Section:
    """The preparation or a round: its stages so far."""

    title: str = ""
    number: int = 0  # of the round; 0 for any other section
    began: float = field(default_factory=lambda: monotonic())
    found: int = 0
    computed: int = 0
    listed: int = 0  # of the found ones, those that a line was printed of
    took: dict[str, float] = field(default_factory=dict)  # seconds by address
    last: str = ""  # what came of it

    def spent(self) -> str:
        """ "26 stages computed, 4 found, 12 s"."""
        computed = f"{_stages(self.computed)} computed" if self.computed else ""
        found = f"{_stages(self.found)} found" if self.found and not self.computed else ""
        if self.found and self.computed:
            found = f"{self.found} found"
        return ", ".join([*filter(None, (computed, found)), duration(monotonic() - self.began)])


@dataclass
class _Stage:
    """The stage at work. Its share of done work is that of all its shards."""

    label: str
    address: str  # the same in every round
    began: float = field(default_factory=lambda: monotonic())
    shard: int = 1
    shards: int = 1
    done: int = 0
    total: int = 0
    at_once: int = 1  # shards at work, whose items these are
    before: float = 0.0  # share that was found when it began to compute
    shard_began: float = field(default_factory=lambda: monotonic())
    told: bool = False  # a line says that it has begun

    @property
    def share(self) -> float:
        within = self.at_once * self.done / self.total if self.total else 0.0
        return min(1.0, (self.shard - 1 + within) / self.shards)

    def rate(self) -> float | None:
        """Items a second of the shard at work."""
        spent = monotonic() - self.shard_began
        return self.done / spent if self.done and spent > 0.5 else None

    def left(self) -> float | None:
        """Seconds, by what its share so far has taken."""
        spent, share = monotonic() - self.began, self.share - self.before
        if share <= 0 or spent < _TOO_SOON:
            return None
        return spent / share * (1 - self.share)

    def words(self) -> list[str]:
        """As far as known: "shard 2 of 4", "1,024 of 2,048", "210/s", "about 5 s left"."""
        found = [f"shard {self.shard} of {self.shards}"] if self.shards > 1 else []
        if self.at_once > 1:
            found.append(f"{self.at_once} at once")
        if self.total:
            found.append(f"{self.done:,} of {self.total:,}")
        if rate := self.rate():
            found.append(f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s")
        if left := self.left():
            found.append(f"about {duration(left)} left")
        return found


class Progress:
    """Where stages report; one stage at a time.

    Args:
        quiet: Show nothing.
        verbose: A line for every stage, found ones too, with what it counted.
    """

    def __init__(
        self, console: Console | None = None, quiet: bool = False, verbose: bool = False
    ) -> None:
        self.console = console or to_stderr(quiet)
        self.verbose = verbose
        self._section = _Section()
        self._rounds = 0
        self._stage: _Stage | None = None
        self._measured: dict[str, float] = {}  # seconds of a round's stages, by address
        self._finished = self._found = 0  # stages of the run
        self._printed = monotonic()
        self._waited = ""
        self._ticker = Ticker(self._tick)
        self._live = Live(
            get_renderable=self._screen,
            console=self.console,
            refresh_per_second=5,
            transient=True,
        )

    @property
    def on_terminal(self) -> bool:
        return self.console.is_interactive and not self.console.quiet

    def __enter__(self) -> "Progress":
        enough()
        if self.on_terminal:
            self._live.start()
        elif not self.console.quiet:
            self._ticker.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()
        self._ticker.stop()
        if kind is None:
            self._close()
        elif not issubclass(kind, Exception):  # Ctrl-C, or a plain kill
            self._list_found()
            self._print(self.kept())

    def section(self, title: str) -> None:
        """A heading: the preparation, or what is no round."""
        self._close()
        self._section = _Section(title)
        self._print(title, style="bold")

    def round(self, number: int, of: int) -> None:
        """The heading of a round."""
        self.section(f"Round {number} of {of}")
        self._section.number, self._rounds = number, of

    def expect(self, seconds: dict[str, float]) -> None:
        """What a round's calls have taken before, by address; the time left starts from it."""
        self._measured = seconds

    def note(self, text: str) -> None:
        """A line below the heading, wrapped at words."""
        self._list_found()
        self._print(text, indent=4)

    def waiting(self, text: str) -> None:
        """A note that need not be repeated: two runs meet at one stage after the other."""
        if text != self._waited:
            self.note(text)
        self._waited = text

    def result(self, text: str) -> None:
        """What came of the section, for the line that ends it."""
        self._section.last = text

    def notes(self, tracking: Tracking | None) -> None:
        """A line for each tracker that has failed meanwhile."""
        for line in tracking.failures() if tracking else ():
            self.note(line)

    def log(self, text: str) -> None:
        """A line for the log of a run, if it has one; the terminal shows less."""

    def start(
        self,
        label: str,
        address: str = "",
        *,
        shard: int = 1,
        shards: int = 1,
        found: bool = False,
    ) -> None:
        """A stage, or a shard of it, is at work; `found`: there is nothing to compute.

        `address` is what the call is known by in other rounds, if not by its label.
        """
        begun = self._stage
        if begun is None or begun.label != label:
            begun = self._stage = _Stage(label, address or label)
        if not (found or begun.told or self.on_terminal or self.verbose):
            begun.told = True
            self._list_found()
            self._print(label, indent=2)
        begun.shard, begun.shards = shard, shards
        begun.done, begun.total, begun.at_once = 0, 0, 1
        begun.shard_began = monotonic()
        if found and begun.before == begun.share:  # nothing is computed yet
            begun.before = shard / shards
            begun.began = monotonic()

    def update(self, done: int, total: int, at_once: int = 1) -> None:
        """Items done and in all: of the shard at work, or of those that are `at_once`."""
        if self._stage is not None:
            self._stage.done, self._stage.total, self._stage.at_once = done, total, at_once

    def finish(
        self,
        label: str,
        *,
        cached: bool,
        seconds: float,
        took: float = 0.0,
        text: str = "",
        kept: str = "",
    ) -> None:
        """A stage is over.

        Args:
            cached: It was found.
            seconds: Since it began.
            took: Seconds that its artifact once took to compute.
            text: Its counts.
            kept: What it had of a run that was stopped.
        """
        section, name = self._section, self._stage.address if self._stage else label
        self._stage = None
        self._finished += 1
        self._found += cached
        section.found += cached
        section.computed += not cached
        section.took[name] = section.took.get(name, 0.0) + (took if cached else seconds)
        if self.verbose:
            spent = "found" if cached else f"{seconds:.1f} s"
            said = "; ".join(filter(None, (kept, text)))
            self._print(f"{label:<36} {spent:>8}" + (f"  {said}" if said else ""), indent=2)
        elif kept or (not (cached or self.on_terminal) and seconds >= _SHORT):
            told = "; ".join(filter(None, (duration(seconds), kept)))
            self._print(f"{label}: {told}", indent=2)

    def kept(self) -> str:
        """What an interruption leaves, in a sentence."""
        stages = f"{_stages(self._finished)} of this run"
        kept = f"Kept: {stages}" if self._finished else "Kept: what was in the store"
        if self._stage and self._stage.shard > 1:
            kept += f" and {self._stage.shard - 1} of {self._stage.shards} shards of "
            kept += f"'{self._stage.label}'"
        return f"{kept}. A training goes on from its last checkpoint."

    def _close(self) -> None:
        """The line that ends a section."""
        section = self._section
        self._stage = None
        if not (section.found or section.computed):
            return
        if section.number:
            self._measured = section.took
        self._print(f"{section.last}; {section.spent()}" if section.last else section.spent(), 4)
        section.found = section.computed = 0

    def _list_found(self) -> None:
        """The found stages so far in one line, where stages have lines."""
        section = self._section
        new, section.listed = section.found - section.listed, section.found
        if new > 0 and not self.verbose and not self.on_terminal:
            self._print(f"{_stages(new)} found", indent=2)

    def _print(self, text: str, indent: int = 0, style: str = "") -> None:
        self._printed = monotonic()
        say(self.console, text, indent, style)

    def _tick(self) -> None:
        stage = self._stage
        if stage and monotonic() - self._printed >= SILENCE:
            spent = duration(monotonic() - stage.began)
            self._print(f"{stage.label}: {', '.join([*stage.words(), spent])}", indent=2)

    def time_left(self) -> float | None:
        """Seconds to the end of the last round, by the round before; None where none is known."""
        section, stage = self._section, self._stage
        if not self._measured or not section.number:
            return None
        open_ = {name: max(0.0, spent - section.took.get(name, 0.0))
                 for name, spent in self._measured.items()}  # fmt: skip
        if stage:
            known = open_.get(stage.address, 0.0)
            left = stage.left()
            open_[stage.address] = (
                max(0.0, known - (monotonic() - stage.began)) if left is None else left
            )
        rounds = self._rounds - section.number
        return sum(open_.values()) + rounds * sum(self._measured.values())

    def _screen(self) -> Group:
        """What a terminal shows below the lines that stay."""
        section, stage = self._section, self._stage
        if not section.title:
            return Group()
        head = [section.title, section.spent()]
        if left := self.time_left():
            head.append(f"about {duration(left)} left in all")
        row = Table.grid(padding=(0, 1))
        rows: list[Table | Text] = [Text("  " + " · ".join(head), "dim", no_wrap=True)]
        if stage:
            known = stage.total or stage.shards > 1
            bar = ProgressBar(100, 100 * stage.share, width=16) if known else ""
            row.add_row("", Spinner(SPINNER), Text(stage.label, no_wrap=True), bar)
            words = [*stage.words(), duration(monotonic() - stage.began)]
            rows += [row, Text("    " + ", ".join(words), no_wrap=True)]
        return Group(*rows)


def _stages(count: int) -> str:
    return f"{count} stage" + "s" * (count != 1)
