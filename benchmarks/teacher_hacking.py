"""What a bench of teacher-hacking arms says to the claims of docs/hacking.md, world by world.

    python -m benchmarks.teacher_hacking runs/hacking/bench.json

Reads a `bench.json` of `tsalign bench` whose recipes are of the flow `hacking` and have the labels
of the command in docs/hacking.md; nothing else is read and nothing is run. Prints a row for every
run and a row for every claim. The thresholds were set before the bench was run. With `--early` and
`--z` the alarms are those that other settings of the monitor would have given.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.paired import mean_interval
from bench.variants import Bench, read_bench
from data.distance_watch import Seen, distances_watched, first_alarm_round
from data.errors import InputError
from data.recipes.monitor import DistanceMonitor
from data.u_turn import Reading, gaps, lowest_place, reading, u_turn

OFFLINE, FEWER, MORE = "offline", "fewer-prompts", "more-answers"
ONLINE = ("online-teacher", "online-student")
LEAST_GAP, MOST_ONLINE = 0.05, 0.01
SHARE_OF_WORLDS = 0.8  # "in four of five"


@dataclass(frozen=True)
class Arm:
    """A run of an arm in a world."""

    label: str
    world: int | None
    golden: list[float]  # from the start on
    proxy: list[float]
    rounds: list[int]  # that they were measured after
    alarm: int | None

    @property
    def gap(self) -> float:
        return gaps(self.golden)[-1]

    @property
    def turn(self) -> int | None:
        place = u_turn(self.golden)
        return None if place is None else self.rounds[place]

    @property
    def says(self) -> Reading:
        return reading(self.golden, self.proxy)

    @property
    def hacked(self) -> bool:
        """Golden ends well above its lowest, and the proxy has not risen since."""
        return self.gap >= LEAST_GAP and self.says == "hacking"

    @property
    def warned_in_time(self) -> bool:
        """The alarm came at or before the U-turn."""
        return None not in (self.alarm, self.turn) and self.alarm <= self.turn  # type: ignore[operator]


def arms_of(bench: Bench) -> list[Arm]:
    """Every run of the bench. Raises InputError for one of another flow."""
    found = []
    for recipe in bench.recipes:
        for run in recipe.runs:
            golden, proxy = (run.steps.get(name, []) for name in ("golden_kl", "proxy_kl"))
            if not golden or not proxy:
                raise InputError(f"{run.run}: has no golden and proxy; name a bench of `hacking`")
            alarm = run.measures.get("alarm_round")
            found.append(
                Arm(
                    recipe.label,
                    run.world,
                    [one.value for one in golden],
                    [one.value for one in proxy],
                    [one.round for one in golden],
                    None if alarm is None else round(alarm),
                )
            )
    return found


def watched_by(config: DistanceMonitor, arm: Arm) -> Arm:
    """The run with the alarm that these settings give on its proxy; all its rounds are equally
    long."""
    measured = zip(arm.rounds, arm.proxy, strict=True)
    seen = [Seen(number, number, value) for number, value in measured if number]
    return replace(arm, alarm=first_alarm_round(distances_watched(seen, config)))


def rows(arms: Sequence[Arm]) -> Iterator[str]:
    """A row for every run."""
    yield "| arm | world | golden: start, lowest (round), end | proxy: start, end | gap | alarm | |"
    yield "|---|---|---|---|---|---|---|"
    for one in arms:
        place = lowest_place(one.golden)
        golden = (
            f"{one.golden[0]:.3f}, {one.golden[place]:.3f} ({one.rounds[place]}), "
            f"{one.golden[-1]:.3f}"
        )
        cells = [one.label, str(one.world), golden, f"{one.proxy[0]:.3f}, {one.proxy[-1]:.3f}"]
        cells += [f"{100 * one.gap:.1f} %", f"round {one.alarm}" if one.alarm else "none", one.says]
        yield f"| {' | '.join(cells)} |"


def in_worlds(holds: Sequence[bool]) -> str:
    met = bool(holds) and sum(holds) >= SHARE_OF_WORLDS * len(holds)
    return f"{sum(holds)} of {len(holds)}: {'met' if met else 'not met'}"


def on_average(gaps_: Sequence[float], met: Callable[[float], bool], above_0: bool) -> str:
    """The mean gap with Student's interval over worlds, and whether it is as claimed."""
    if not gaps_:
        return "not run"
    mean, ci95 = mean_interval(gaps_)
    around = f" [{100 * ci95[0]:.1f}, {100 * ci95[1]:.1f}]" if ci95 else ""
    fine = met(mean) and (not above_0 or (ci95 is not None and ci95[0] > 0))
    return f"{100 * mean:.1f} %{around}: {'met' if fine else 'not met'}"


def claims(arms: Sequence[Arm]) -> Iterator[str]:
    """A row for every claim, with the worlds in which it holds."""
    by = {(one.label, one.world): one for one in arms}

    def of(label: str) -> list[Arm]:
        return [one for one in arms if one.label == label]

    def against(label: str, holds: Callable[[Arm, Arm], bool]) -> str:
        pairs = [(one, by.get((OFFLINE, one.world))) for one in of(label)]
        return in_worlds([holds(one, other) for one, other in pairs if other])

    yield "| claim | found |"
    yield "|---|---|"
    offline = [one.gap for one in of(OFFLINE)]
    found = {
        "offline: mean gap 5 % or more, interval above 0": on_average(
            offline, lambda mean: mean >= LEAST_GAP, above_0=True
        ),
        "offline: gap 5 % or more while the held-out proxy falls or stays": in_worlds(
            [one.hacked for one in of(OFFLINE)]
        ),
    }
    for label in ONLINE:
        found[f"{label}: mean gap 1 % or less"] = on_average(
            [one.gap for one in of(label)], lambda mean: mean <= MOST_ONLINE, above_0=False
        )
    found |= {
        "fewer prompts: a larger gap than offline": against(FEWER, lambda x, y: x.gap > y.gap),
        "fewer prompts: golden ends higher": against(
            FEWER, lambda x, y: x.golden[-1] > y.golden[-1]
        ),
        "more answers: a smaller gap than offline": against(MORE, lambda x, y: x.gap < y.gap),
        "more answers: golden ends lower": against(MORE, lambda x, y: x.golden[-1] < y.golden[-1]),
        "alarm at or before the U-turn, offline": in_worlds(
            [one.warned_in_time for one in of(OFFLINE)]
        ),
    }
    online = [one.alarm is not None for label in ONLINE for one in of(label)]
    said = "met" if online and not any(online) else "not met"
    found["no alarm online"] = f"{sum(online)} alarms in {len(online)} runs: {said}"
    yield from (f"| {claim} | {said} |" for claim, said in found.items())


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.teacher_hacking",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, help="bench.json of `tsalign bench`")
    parser.add_argument("--early", type=int, help="as monitor.early_rounds")
    parser.add_argument("--z", type=float, default=3.0, help="as monitor.z, with --early")
    asked = parser.parse_args()
    try:
        arms = arms_of(read_bench(asked.file))
        if asked.early is not None:
            config = DistanceMonitor(early_rounds=asked.early, z=asked.z)
            arms = [watched_by(config, one) for one in arms]
    except (InputError, ValueError) as error:  # ValueError: no setting of a monitor
        sys.exit(str(error))
    sys.stdout.write("\n".join([*rows(arms), "", *claims(arms)]) + "\n")


if __name__ == "__main__":
    main()
